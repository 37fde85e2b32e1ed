// The server goes away, freezes, refuses, and comes back: the page says so, says how old it is, and recovers without a reload.

import { equal, ok } from './check.mjs';
import { Fake } from './fake.mjs';
import { pictures_shown, shot, until, visit } from './page.mjs';

export default async function connection() {
  const fake = await new Fake(6).start();
  await visit(fake.url, { allow: /Failed to load resource|ERR_/, colorScheme: 'light' }, async (page) => {
    await until('pictures', async () => (await pictures_shown(page)) >= 3);
    // A mark that a reload would wipe off.
    await page.evaluate(() => (window.same = true));
    await gone_and_back(page, fake);
    await frozen_and_back(page, fake);
    await refused_and_back(page, fake);
    ok(await page.evaluate(() => window.same), 'it was never reloaded');
    await logged_out(page, fake);
  });
  await fake.stop();
}

const says = (page, text) => page.locator('#connection').getByText(text).waitFor();

async function gone_and_back(page, fake) {
  await fake.stop();
  await says(page, 'connection lost, trying again');
  await until('an age that counts', async () => /shown: [2-9]\d* s old/.test(await page.locator('#connection').innerText()));
  equal(await page.locator('.tile').count(), 6, 'what there was stays');
  await shot(page, 'connection-lost');
  fake.asked.clear();
  // As another process would: the same ids for other cameras.
  await page.evaluate(() => document.querySelectorAll('.tile').forEach((tile) => (tile.dataset.of = 'the first run')));
  fake.state.process.run_id = 'another';
  fake.state.sources[0].source_id = 'after the break';
  await fake.start(fake.port);
  await says(page, 'live');
  await page.getByText('after the break', { exact: true }).waitFor();
  await until('pictures to be asked for again', () => fake.asked.size > 0);
  equal(await page.locator('#connection-age').innerText(), '', 'the age goes');
  equal(await page.locator('[data-of]').count(), 0, 'tiles of the first run are not taken for those of the second');
}

async function frozen_and_back(page, fake) {
  fake.freeze();
  await says(page, 'connection lost, trying again');
  fake.thaw();
  await says(page, 'live');
}

async function refused_and_back(page, fake) {
  fake.refusal = { status: 503, text: 'the live page is switched off: [live] enabled = false\n' };
  fake.hang_up();
  await page.getByText('the live page is switched off: [live] enabled = false').waitFor();
  fake.refusal = null;
  await says(page, 'live');
  equal(await page.locator('#obstacles').isVisible(), false, 'and is taken back');
}

async function logged_out(page, fake) {
  fake.refusal = { status: 401, text: 'log in\n' };
  fake.hang_up();
  await page.waitForURL('**/login');
}
