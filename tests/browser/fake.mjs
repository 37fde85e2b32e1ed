// A server that speaks the live page's contract without a pipeline behind it, for states that are hard to get from a real one.
//
// In: how many cameras, and what a scenario changes in `fake.state` as it goes. Out: the page's own files, a history, a state a
// second, pictures; and what was asked of it. Invariant: it sends the headers that the real server sends, the policy above all.
//
// By hand: node tests/browser/fake.mjs 12 8080

import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { picture } from './pictures.mjs';

const ASSETS = new URL('../../pipeline/assets/live/', import.meta.url);
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};
const PLACES = ['entrance north', 'entrance south', 'lobby', 'gate', 'platform', 'stairs', 'counter', 'loading dock', 'corridor', 'car park'];
const nowUs = () => Date.now() * 1000;

export class Fake {
  asked = new Map();
  /** Instead of what is asked for under /live: a status and a text. */
  refusal = null;
  most_at_once = 0;
  #at_once = 0;
  #streams = new Set();
  #started = Date.now();
  #tick = 0;
  #server;
  #timer;
  #frozen = false;

  constructor(cameras) {
    this.state = first_state(cameras);
    this.history = this.#history();
  }

  async start(port = 0) {
    this.#server = createServer((request, response) => this.#answer(request, response));
    await new Promise((done) => this.#server.listen(port, '127.0.0.1', done));
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    this.#timer = setInterval(() => this.#second(), 1000);
    return this;
  }


  /** Goes away, as a process that is killed does. */
  async stop() {
    clearInterval(this.#timer);
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
    this.#streams.clear();
  }

  /** Neither sends nor closes anything, as a frozen process does, until it is thawed. */
  freeze() {
    clearInterval(this.#timer);
    this.#frozen = true;
  }

  thaw() {
    this.#frozen = false;
    this.#timer = setInterval(() => this.#second(), 1000);
  }

  /** Ends every stream; whoever comes back is answered as `refusal` says. */
  hang_up() {
    for (const stream of this.#streams) stream.end();
  }

  #second() {
    this.#tick += 1;
    this.advance(this.state, this.#tick);
    for (const stream of this.#streams) send(stream, 'state', this.state);
  }

  /** What moves by itself; a scenario may put another function here. */
  advance = move;

  #answer(request, response) {
    if (this.#frozen) return;
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const path = new URL(request.url, 'http://fake').pathname;
    if (this.refusal && path.startsWith('/live/')) return response.writeHead(this.refusal.status).end(this.refusal.text);
    if (path === '/live/state') return json(response, this.state);
    if (path === '/live/events') return this.#stream(request, response);
    if (path.startsWith('/live/frames/')) return this.#picture(decodeURIComponent(path.slice('/live/frames/'.length)), response);
    return asset(path === '/' ? 'index.html' : path === '/login' ? 'login.html' : path.slice(1), response);
  }

  #stream(request, response) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    send(response, 'history', { ...this.history, now_us: nowUs() });
    this.#streams.add(response);
    request.on('close', () => this.#streams.delete(response));
  }

  async #picture(id, response) {
    const at = this.state.sources.findIndex((source) => String(source.id) === id);
    this.asked.set(id, (this.asked.get(id) ?? 0) + 1);
    if (at < 0) return response.writeHead(404).end('no such source\n');
    if (this.state.sources[at].image == null) return response.writeHead(204).end();
    this.#at_once += 1;
    this.most_at_once = Math.max(this.most_at_once, this.#at_once);
    await new Promise((done) => setTimeout(done, 5));
    this.#at_once -= 1;
    const moment = this.state.sources[at].active ? Math.floor((Date.now() - this.#started) / 330) : 0;
    response.writeHead(200, { 'Content-Type': 'image/png', 'X-Image': String(moment) });
    return response.end(picture(at, moment));
  }

  #history() {
    const past = (span, value) => Array.from({ length: span }, (_, at) => value(at));
    const sources = this.state.sources.map((source, n) => [source.id, past(60, (at) => (!source.active && at > 40 ? null : faces(n, at)))]);
    return {
      now_us: nowUs(), every_s: 1, frames_per_s: past(120, (at) => wave(this.state.sources.length * 5, at)),
      faces_per_s: past(120, (at) => wave(this.state.sources.length * 9, at + 9)), lag_seconds: past(120, (at) => lag(at)),
      latency_p99_s: past(120, (at) => (at < 20 ? null : wave(0.11, at + 4))), sources: Object.fromEntries(sources),
    };
  }
}

const wave = (middle, at) => middle * (1 + 0.12 * Math.sin(at / 5) + 0.05 * Math.sin(at * 1.7));
const lag = (at) => 0.2 + (at % 47 < 6 ? (6 - (at % 47)) * 0.6 : 0) + 0.05 * Math.sin(at);
const faces = (camera, at) => Math.max(0, Math.round(1 + (camera % 3) + Math.sin(at / 6 + camera) * 1.4));

function move(state, tick) {
  state.now_us = nowUs();
  state.rates = { frames_per_s: wave(state.sources.length * 5, tick), faces_per_s: wave(state.sources.length * 9, tick + 9), bytes_per_s: state.sources.length * 4.2e5 };
  state.totals.frames.ok += state.sources.length * 5;
  state.totals.faces += state.sources.length * 9;
  state.lag = { records: Math.round(lag(tick) * 40), seconds: lag(tick) };
  state.latency_s = { p50: wave(0.048, tick), p99: wave(0.11, tick + 4) };
  state.sources.forEach((source, n) => {
    if (!source.active) return;
    source.last_frame_us = nowUs() - 90_000;
    source.faces = source.status === 'ok' ? faces(n, tick) : null;
    source.frames_per_s = wave(5, tick + n);
  });
  state.workers.forEach((worker, n) => (worker.busy = Math.min(1, wave(0.6 + 0.08 * (n % 4), tick + n * 3))));
  for (const held of state.partitions) if (held.state === 'running') held.journal_end = held.collected_end += 30;
}

function first_state(cameras) {
  const source = (_, n) => ({
    id: `s${n}`, source_id: `${PLACES[n % PLACES.length]} ${1 + Math.floor(n / PLACES.length)}`, topic: 'frames', partition: [0, 2, 3, 4][n % 4],
    active: true, last_frame_us: nowUs(), frames_per_s: 5, faces: faces(n, 0), status: 'ok', error: null, image_w_px: 1920, image_h_px: 1080, image: 1,
  });
  const partition = (number) => ({
    topic: 'frames', partition: number, state: 'running', lag_records: 12, lag_seconds: 0.31, watermark_delay_s: 2.4, journal_end: 48_211 + number * 977, collected_end: 48_260 + number * 977,
  });
  const state = {
    now_us: nowUs(), version: '0.6.0', ready: true, obstacles: [],
    process: {
      host: 'vision-7c9f', pid: 1, run_id: '01J9ZC3E7K', started_us: nowUs() - 9.4e9, group: 'facestream', topics: ['frames'], brokers: 'kafka-0:9092,kafka-1:9092',
      store: 's3://footfall/faces', detector: 'yunet 640x384', workers: 4,
    },
    blur: true, login: false, rates: { frames_per_s: 0, faces_per_s: 0, bytes_per_s: 0 }, totals: { frames: { ok: 812_340 }, faces: 1_204_556 },
    latency_s: null, lag: { records: 0, seconds: 0 }, partitions: [0, 2, 3, 4].map(partition),
    workers: [0, 1, 2, 3].map((id) => ({ id, busy: 0.6 })), sources_total: cameras, sources: Array.from({ length: cameras }, source), failures: [],
  };
  move(state, 0);
  return state;
}

/** Some cameras in trouble, a paused and a stopped partition, failures. */
export function troubles(state) {
  const [first, second, third] = state.sources;
  Object.assign(first, { status: 'decode_error', error: 'JPEG ends after 18,221 of about 290,000 bytes', faces: null });
  Object.assign(second, { active: false, frames_per_s: 0, last_frame_us: nowUs() - 84_000_000 });
  Object.assign(third, { image: null });
  state.partitions[1].state = 'paused';
  Object.assign(state.partitions[3], { state: 'stopped', lag_records: 18_400, lag_seconds: 4120 });
  state.totals.frames.decode_error = 31;
  state.failures = Array.from({ length: 12 }, (_, n) => ({
    at_us: nowUs() - n * 41_000_000 - 3_000_000, topic: 'frames', partition: n % 4, offset: 48_200 - n * 7, source_id: first.source_id,
    status: n % 4 === 3 ? 'fetch_refused' : 'decode_error',
    error: n % 4 === 3 ? 'https://pictures.example/a.jpg is not under any prefix of fetch.allow' : 'JPEG ends after 18,221 of about 290,000 bytes',
  }));
}

/** Names that would do harm where they were taken for anything but text. */
export const HOSTILE = [
  '<img src=x onerror=alert(1)>', '"><script>alert(2)</script>', '\u202Egnp.txet \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627', ' ', '../../etc/passwd?x=1#y',
  `${'very-long-'.repeat(60)}`, 'Z\u0351\u036b\u0343\u036a\u0302a\u0300\u0301\u0302\u0303\u0304\u0305\u0306lgo', "javascript:alert(3)'; DROP TABLE frames;--", 'line\nbreak\ttab\u0000nul', '{{error}} ${7*7} %s',
];

export function hostile(state) {
  HOSTILE.forEach((name, n) => {
    if (state.sources[n]) Object.assign(state.sources[n], { id: `h/${n}?&#%`, source_id: name });
    if (state.sources[n]) Object.assign(state.sources[n], n % 2 ? {} : { status: 'decode_error', error: `<b onmouseover=alert(4)>${name}</b>`, faces: null });
  });
  state.failures = HOSTILE.map((name, n) => ({ at_us: nowUs() - n * 1e6, topic: name, partition: n, offset: n, source_id: name, status: 'decode_error', error: `<svg onload=alert(5)> ${name}` }));
  state.partitions[0].topic = '<i>topic</i>';
  Object.assign(state.process, { host: '<s>host</s>', group: '\u202Epuorg', store: '<a href=//evil.example>store</a>' });
  state.obstacles = ['<u>the store</u> does not answer'];
  state.ready = false;
}

function send(stream, event, data) {
  stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function json(response, value) {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
}

function asset(name, response) {
  const type = /^[a-z]+\.(html|js|css|svg)$/.exec(name)?.[1];
  try {
    const body = readFileSync(new URL(name, ASSETS));
    response.writeHead(200, { 'Content-Type': TYPES[type] }).end(body);
  } catch {
    response.writeHead(404).end(`no ${name}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [cameras, port, ...more] = process.argv.slice(2);
  const fake = new Fake(Number(cameras ?? 12));
  if (more.includes('troubles')) troubles(fake.state);
  if (more.includes('hostile')) hostile(fake.state);
  console.log((await fake.start(Number(port ?? 8080))).url);
}
