// Two hundred cameras: the page asks for the pictures in sight alone, a few at a time, and stays a page that can be worked with.

import { equal, ok } from './check.mjs';
import { Fake, troubles } from './fake.mjs';
import { DESK, pictures_shown, shot, until, visit } from './page.mjs';

const AT_A_TIME = 4;

export default async function cameras() {
  const fake = await new Fake(200).start();
  await visit(fake.url, { colorScheme: 'dark' }, async (page) => {
    await until('two hundred tiles', async () => (await page.locator('.tile').count()) === 200);
    await only_in_sight(page, fake);
    await scrolled(page, fake);
    await hidden_and_paused(page, fake);
    await found(page);
    await sorted(page, fake);
    await sized(page);
  });
  await fake.stop();
}

/** Ids of the tiles that are at least partly in the window; names are those that the fake server gives in turn. */
function in_sight(page, fake) {
  return page.evaluate(() => [...document.querySelectorAll('.tile')].filter((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }).map((tile) => tile.querySelector('.name').textContent)).then((names) => names.map((name) => id_of(fake, name)).sort());
}

const id_of = (fake, name) => fake.state.sources.find((source) => source.source_id === name).id;

async function only_in_sight(page, fake) {
  const seen = await in_sight(page, fake);
  ok(seen.length > 3 && seen.length < 40, `${seen.length} tiles in sight`);
  await until('a picture in each tile in sight', async () => (await pictures_shown(page)) >= seen.length);
  await until('each to be asked for again', () => seen.every((id) => fake.asked.get(id) >= 3));
  equal([...fake.asked.keys()].sort().join(), seen.join(), 'pictures in sight, and no others, are asked for');
  ok(fake.most_at_once <= AT_A_TIME, `${fake.most_at_once} requests at once`);
  equal(await page.locator('.tile .chart svg').count(), seen.length, 'charts are drawn where they are seen');
  await shot(page, 'cameras-200');
}

async function scrolled(page, fake) {
  const before = await in_sight(page, fake);
  await page.evaluate(() => document.querySelectorAll('.tile')[150].scrollIntoView());
  await until('the first tiles to be left alone', async () => {
    fake.asked.clear();
    await page.waitForTimeout(1000);
    return fake.asked.size > 3 && !before.some((id) => fake.asked.has(id));
  });
  const seen = await in_sight(page, fake);
  ok([...fake.asked.keys()].every((id) => seen.includes(id)), 'after scrolling, too');
}

async function hidden_and_paused(page, fake) {
  const quiet = () => until('no more requests', async () => {
    fake.asked.clear();
    await page.waitForTimeout(1200);
    return fake.asked.size === 0;
  });
  const busy = () => until('requests again', () => fake.asked.size > 3);
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await quiet();
  await hide(false);
  await busy();
  await page.getByRole('button', { name: 'Pause pictures' }).click();
  await quiet();
  await page.getByRole('button', { name: 'Pause pictures' }).click();
  await busy();
}

const shown_names = (page) => page.locator('.tile:not([hidden]) .name').allTextContents();

async function found(page) {
  await page.getByLabel('Filter cameras by name').fill('LOBBY 1');
  // lobby 1, lobby 10 … lobby 19
  equal((await shown_names(page)).length, 11);
  await page.getByText('11 of 200').waitFor();
  await page.getByLabel('Filter cameras by name').fill('nothing like it');
  await page.getByText('No camera\'s name contains “nothing like it”.').waitFor();
  await page.getByLabel('Filter cameras by name').fill('');
  equal((await shown_names(page)).length, 200);
}

async function sorted(page, fake) {
  equal((await shown_names(page)).slice(0, 3).join(), 'car park 1,car park 2,car park 3', 'by name, numbers as numbers');
  troubles(fake.state);
  await page.getByLabel('Sort cameras').selectOption('trouble');
  await until('trouble to come first', async () => (await shown_names(page)).slice(0, 2).join() === 'entrance north 1,entrance south 1');
  fake.state.sources[117].active = false;
  fake.state.sources[117].faces = 99;
  await page.getByLabel('Sort cameras').selectOption('faces');
  await until('most faces to come first', async () => (await shown_names(page))[0] === fake.state.sources[117].source_id);
}

async function sized(page) {
  const width = async () => (await page.locator('.tile').first().boundingBox()).width;
  await page.getByLabel('Small').check();
  const small = await width();
  await page.getByLabel('Large').check();
  ok((await width()) > 2 * small, 'large tiles are larger');
  await page.reload();
  await page.locator('.tile').first().waitFor();
  ok((await width()) > 2 * small && DESK.width > 0, 'and still are after a reload');
}
