// A browser with one page, watched: what a page must never do fails the scenario, whatever else it looks at.
//
// In: an address and how the visitor has set the browser. Out: the page, screenshots. Invariant: a dialog, an error, a breach of
// the policy, or a request to anywhere but the server's own address is an error, unless the scenario says that it expects it.

import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

// `import` looks past NODE_PATH, `require` does not.
const { chromium } = createRequire(import.meta.url)('playwright-core');
const SHOTS = process.env.SCREENSHOTS || join(tmpdir(), 'facestream-screenshots');

export const DESK = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

/** Runs `scenario(page)` with a page at `url`; `allow` is a pattern of messages that it expects. */
export async function visit(url, options, scenario) {
  const { allow = /^$/, viewport = DESK, ...more } = options;
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    const context = await browser.newContext({ viewport, reducedMotion: 'no-preference', ...more });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const wrongs = watch(page, new URL(url).origin, allow);
    page.wrongs = () => wrongs;
    await page.goto(url);
    await scenario(page);
    if (wrongs.length > 0) throw new Error(`the page did what it must not:\n${wrongs.join('\n')}`);
  } finally {
    await browser.close();
  }
}

function watch(page, origin, allow) {
  const wrongs = [];
  const note = (what) => allow.test(what) || wrongs.push(what);
  page.on('dialog', async (dialog) => {
    note(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  // Breaches of the policy come as console errors, too.
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && note(`console: ${message.text()}`));
  page.on('pageerror', (error) => note(`uncaught: ${error.stack ?? error}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith(`blob:${origin}/`)) note(`request: ${request.url()}`);
  });
  return wrongs;
}

export async function shot(page, name, options = {}) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), ...options });
}

/** Waits until `look()` gives something true; says what it last gave. */
export async function until(what, look, limit = 30_000) {
  const end = Date.now() + limit;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}; last seen: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Pictures that are shown and have content: not of one colour. */
export function pictures_shown(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll('#grid .picture img')].filter((img) => {
      if (img.hidden || img.naturalWidth === 0) return false;
      const canvas = new OffscreenCanvas(32, 18);
      const context = canvas.getContext('2d');
      context.drawImage(img, 0, 0, 32, 18);
      const { data } = context.getImageData(0, 0, 32, 18);
      return data.some((value, at) => Math.abs(value - data[at % 4]) > 24);
    }).length);
}
