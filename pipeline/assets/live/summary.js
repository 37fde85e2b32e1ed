// The top of the page: who speaks, whether all is well, and the four numbers that tell whether it keeps up.
//
// In: states, and whether the server answers. Out: header, notices, stat tiles, the facts about the process. Invariant: what is
// read out aloud changes only when its meaning does; ages count beside it.

import { Chart } from './chart.js';
import * as clock from './clock.js';
import { find, mark, put, putCut, putFacts, putOrHide } from './dom.js';
import * as format from './format.js';
import { PROCESS_SPAN } from './trends.js';

class Stat {
  constructor(id, least) {
    this.element = find(id);
    this.chart = new Chart(this.element.appendChild(document.createElement('dd')), PROCESS_SPAN, { least });
    this.element.lastElementChild.className = 'chart';
  }

  show(number, unit, more, values) {
    const big = this.element.querySelector('.big');
    if (!big.firstElementChild) big.append(document.createElement('span'), ' ', document.createElement('small'));
    put(big.firstElementChild, number);
    put(big.lastElementChild, unit);
    put(this.element.querySelector('.more'), more);
    this.chart.show(values);
  }
}

export class Summary {
  #frames = new Stat('frames', 1);
  #faces = new Stat('faces', 1);
  #lag = new Stat('lag', 1);
  #latency = new Stat('latency', 0.01);

  show(state, trends) {
    const { process } = state;
    putCut(find('host'), process.host);
    putCut(find('group'), process.group);
    put(find('scope'), scope(state));
    putOrHide(find('obstacles'), state.obstacles.length ? `Not ready: ${state.obstacles.join('; ')}.` : '');
    find('unblurred').hidden = state.blur !== false;
    const ready = find('ready');
    ready.hidden = false;
    put(ready, state.ready ? 'ready' : 'not ready');
    mark(ready, 'kind', state.ready ? 'good' : 'bad');
    this.#numbers(state, trends);
    about(state);
  }

  #numbers({ rates, totals, lag, latency_s: latency }, trends) {
    const [behind, behindUnit] = format.seconds(lag.seconds);
    const [p99, p99Unit] = format.seconds(latency?.p99);
    this.#frames.show(format.rate(rates.frames_per_s), 'frames/s', format.bytesPerSecond(rates.bytes_per_s), trends.frames);
    this.#faces.show(format.rate(rates.faces_per_s), 'faces/s', `${format.about(totals.faces)} in all`, trends.faces);
    this.#lag.show(behind, behindUnit, `${format.plural(lag.records, 'record')} to read`, trends.lag);
    this.#latency.show(p99, p99Unit, `median ${format.seconds(latency?.p50).join(' ')}`, trends.latency);
  }

  connected() {
    this.#connection('good', 'live', '');
    document.body.classList.remove('lost');
    find('connection-age').textContent = '';
  }

  lost() {
    this.#connection('bad', 'connection lost, trying again');
    document.body.classList.add('lost');
  }

  /** The server is there, and says why it shows nothing. */
  refused(text) {
    putOrHide(find('obstacles'), text);
  }

  /** How old what is shown is. */
  tick(latestUs) {
    const lost = document.body.classList.contains('lost');
    put(find('connection-age'), lost && latestUs ? `shown: ${format.age(clock.age(latestUs))} old` : '');
  }

  #connection(kind, text) {
    put(find('connection-text'), text);
    mark(find('connection'), 'kind', kind);
  }
}

/** Whose partitions these are. */
function scope({ partitions, process, ready }) {
  const topics = process.topics.join(', ');
  if (partitions.length === 0) {
    return ready
      ? `This process holds no partition of ${topics}: the group has more processes than partitions, or others have not given any up yet.`
      : `Joining the group to read ${topics}.`;
  }
  const byTopic = new Map();
  for (const { topic, partition } of partitions) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition]);
  const held = [...byTopic].map(([topic, numbers]) => `partition${numbers.length === 1 ? '' : 's'} ${format.ranges(numbers)} of topic ${topic}`);
  return `This process holds ${held.join(', ')}. Others of the group show theirs on their own pages.`;
}

function about({ process, totals, version }) {
  const started = clock.age(process.started_us);
  putFacts(find('about').querySelector('dl'), [
    ['Host', process.host],
    ['Process', process.pid],
    ['Version', version],
    ['Running for', started == null ? null : format.age(started)],
    ['Group', process.group],
    ['Topics', process.topics.join(', ')],
    ['Brokers', process.brokers],
    ['Store', process.store],
    ['Detector', process.detector],
    ['Workers', process.workers],
    ...Object.entries(totals.frames).map(([status, n]) => [`Frames ${status}`, format.count(n)]),
    ['Run', process.run_id],
  ]);
}
