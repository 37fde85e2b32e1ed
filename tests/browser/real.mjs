// The real server, with cameras that send: log in, see them move, lose it and have it back, log out.
//
// In: URL; TOKEN; NAMES, the cameras as a JSON list; PID of the server, to freeze it.

import { deepEqual, equal, fits, legible, named, ok } from './check.mjs';
import { PHONE, pictures_shown, shot, until, visit } from './page.mjs';

const { URL: url, TOKEN: token, NAMES, PID } = process.env;
const names = JSON.parse(NAMES ?? '[]');

export default async function real() {
  // A browser's console tells of each 401, the page's own or a request's.
  await visit(url, { allow: /401|Failed to load resource|ERR_/, colorScheme: 'light' }, async (page) => {
    const pictures = listen(page);
    await log_in(page);
    await seen(page, pictures);
    await large(page);
    await frozen(page);
    await on_a_phone(page);
    await log_out(page);
  });
}

/** What comes as a picture is one, and is numbered. */
function listen(page) {
  const numbers = new Map();
  page.on('response', async (response) => {
    if (!response.url().includes('/live/frames/') || response.status() !== 200) return;
    const headers = response.headers();
    equal(headers['content-type'], 'image/jpeg');
    numbers.set(response.url(), [...(numbers.get(response.url()) ?? []), Number(headers['x-image'])]);
  });
  return numbers;
}

async function log_in(page) {
  await page.waitForURL('**/login');
  await named(page);
  await legible(page, 'the log-in form');
  equal(await page.locator('#error').isVisible(), false);
  await page.getByLabel('Token').fill('not it');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: /\w/ }).waitFor();
  await shot(page, 'real-login');
  await page.getByLabel('Token').fill(token);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${url}/`);
  const [cookie, ...others] = await page.context().cookies();
  deepEqual([others.length, cookie.httpOnly, cookie.sameSite], [0, true, 'Strict']);
  equal(await page.evaluate(() => document.cookie), '', 'no script sees the session');
}

async function seen(page, pictures) {
  await until('a tile for each camera', async () => (await page.locator('.tile').count()) === names.length, 60_000);
  deepEqual((await page.locator('.tile .name').allTextContents()).sort(), [...names].sort());
  await until('a picture in each', async () => (await pictures_shown(page)) === names.length, 60_000);
  await until('pictures to change', () => pictures.size === names.length && [...pictures.values()].every((all) => new Set(all).size > 2), 60_000);
  for (const all of pictures.values()) deepEqual(all, [...all].sort((a, b) => a - b), 'numbers only grow');
  await until('faces', async () => (await page.locator('.tile .now').allTextContents()).some((text) => /^[1-9]/.test(text)));
  await page.locator('#ready').getByText('ready', { exact: true }).waitFor();
  await page.getByText(/This process holds partition/).waitFor();
  ok(parseFloat(await page.locator('#frames .big span').innerText()) > 0, 'frames a second');
  await legible(page, 'the real page');
  await shot(page, 'real');
}

async function large(page) {
  await page.getByRole('button', { name: names[0] }).click();
  equal(await page.locator('#viewer-name').innerText(), names[0]);
  await until('its picture', () => page.locator('#viewer img').isVisible());
  await shot(page, 'real-large');
  await page.keyboard.press('Escape');
}

async function frozen(page) {
  const says = (text) => page.locator('#connection').getByText(text).waitFor();
  process.kill(Number(PID), 'SIGSTOP');
  try {
    await says('connection lost, trying again');
  } finally {
    process.kill(Number(PID), 'SIGCONT');
  }
  await says('live');
  await until('pictures again', async () => (await pictures_shown(page)) === names.length);
}

async function on_a_phone(page) {
  await page.setViewportSize(PHONE);
  await fits(page, 'on a phone');
  await shot(page, 'real-phone');
}

async function log_out(page) {
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL('**/login');
  equal((await page.context().cookies()).length, 0);
  await page.goto(`${url}/`);
  await page.waitForURL('**/login');
}
