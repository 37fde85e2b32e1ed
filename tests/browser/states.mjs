// What the page says in each state that a process can be in, the ones without anything to show above all.

import { equal, ok } from './check.mjs';
import { Fake, troubles } from './fake.mjs';
import { pictures_shown, shot, until, visit } from './page.mjs';

const BLURRED = 'Faces are shown.';

export default async function states() {
  await with_state('one', 1, () => {}, one);
  await with_state('no-camera', 0, (state) => (state.process.topics = ['yard']), no_camera);
  await with_state('joining', 0, joining_state, joining);
  await with_state('no-partition', 0, (state) => (state.partitions = []), no_partition);
  await with_state('troubles', 12, troubles, in_trouble);
  await with_state('unblurred', 3, (state) => (state.blur = false), (page) => page.getByText(BLURRED).waitFor());
  await with_state('more', 5, (state) => (state.sources_total = 4096), (page) => page.getByText('5 of 4,096 · 4,091 not shown here').waitFor());
}

async function with_state(name, cameras, change, look) {
  const fake = new Fake(cameras);
  change(fake.state);
  await fake.start();
  // A camera that goes is asked for until the page is told.
  await visit(fake.url, { allow: /404/, colorScheme: name.length % 2 ? 'light' : 'dark' }, async (page) => {
    await page.locator('#connection').getByText('live').waitFor();
    await look(page, fake);
    await shot(page, `state-${name}`);
  });
  await fake.stop();
}

async function one(page) {
  await page.getByText('This process holds partitions 0, 2–4 of topic frames.').waitFor();
  await page.getByText('ready', { exact: true }).waitFor();
  await page.getByText('No frame has failed.').waitFor();
  equal(await page.getByText(BLURRED).isVisible(), false);
  await until('its picture', async () => (await pictures_shown(page)) === 1);
  await unobtrusive(page);
  const first = await page.locator('.tile img').getAttribute('src');
  await until('another picture', async () => (await page.locator('.tile img').getAttribute('src')) !== first);
}

/** What a screen reader reads out aloud by itself does not change while nothing does. */
async function unobtrusive(page) {
  const regions = await page.evaluate(() => {
    const all = document.querySelectorAll('[role="status"], [role="alert"], [aria-live]');
    window.said = 0;
    window.seen = 0;
    for (const region of all) new MutationObserver((changes) => (window.said += changes.length)).observe(region, { subtree: true, childList: true, characterData: true });
    new MutationObserver(() => (window.seen += 1)).observe(document.querySelector('#frames .big'), { subtree: true, childList: true, characterData: true });
    return all.length;
  });
  ok(regions > 0);
  await until('three states', () => page.evaluate(() => window.seen >= 3));
  equal(await page.evaluate(() => window.said), 0, 'live regions kept still');
}

async function no_camera(page) {
  await page.getByText('facestream produce --topic yard photos/').waitFor();
}

function joining_state(state) {
  Object.assign(state, { partitions: [], workers: [], ready: false, obstacles: ['the consumer group has not been joined'], latency_s: null });
}

async function joining(page) {
  await page.getByText('Not ready: the consumer group has not been joined.').waitFor();
  await page.getByText('Joining the group to read frames.').waitFor();
  await page.getByText('not ready', { exact: true }).waitFor();
}

async function no_partition(page) {
  await page.getByText('No partition: the group has more processes than partitions.').waitFor();
}

async function in_trouble(page, fake) {
  const tile = (name) => page.locator('.tile', { hasText: name });
  await tile('entrance north 1').getByText('decode_error: JPEG ends after').waitFor();
  await tile('entrance south 1').getByText(/silent for \d+ s|silent for \d+ min/).waitFor();
  await tile('lobby 1').getByText('waiting for a picture').waitFor();
  const row = (name) => page.locator('#partitions tr', { hasText: name });
  await row('frames/2').getByText('paused').waitFor();
  await row('frames/4').getByText('stopped').waitFor();
  await row('frames/4').getByText('69 min').waitFor();
  equal(await page.locator('#failures li').count(), 12);
  const refused = page.locator('#failures li', { hasText: 'fetch_refused' }).first();
  await refused.getByText('is not under any prefix of fetch.allow').waitFor();
  await refused.getByText('frames/3 at offset 48179').waitFor();
  const age = await page.locator('#failures .age').first().innerText();
  await until('the age to count', async () => (await page.locator('#failures .age').first().innerText()) !== age);
  await gone_while_large(page, fake);
}

/** A camera that goes to another process while it is shown large. */
async function gone_while_large(page, fake) {
  await page.getByRole('button', { name: 'gate 1' }).click();
  fake.state.sources = fake.state.sources.filter(({ source_id: name }) => name !== 'gate 1');
  await page.locator('#viewer').getByText('no longer at this process').waitFor();
  await page.keyboard.press('Escape');
  ok(!(await page.locator('.tile', { hasText: 'gate 1' }).isVisible()), 'its tile goes');
}
