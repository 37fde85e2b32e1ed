// Everything by keyboard: skip links, every control in its order, tiles, the large view, and the way back; the focus is seen throughout.

import { deepEqual, equal, focus_shows, ok } from './check.mjs';
import { Fake } from './fake.mjs';
import { shot, until, visit } from './page.mjs';

export default async function keyboard() {
  const fake = await new Fake(12).start();
  await visit(fake.url, { colorScheme: 'light' }, async (page) => {
    await until('tiles', async () => (await page.locator('.tile').count()) === 12);
    await in_order(page);
    await skipped(page);
    await from_tile_to_tile(page);
    await large(page);
  });
  await fake.stop();
}

const focused = (page) => page.evaluate(() => {
  const { id, ariaLabel, tagName, textContent, value } = document.activeElement;
  return id || ariaLabel || (tagName === 'INPUT' ? value : textContent.trim());
});

async function in_order(page) {
  const order = [];
  while (order.at(-1) !== 'car park 1') {
    await page.keyboard.press('Tab');
    await focus_shows(page);
    order.push(await focused(page));
    ok(order.length < 20, order.join());
  }
  deepEqual(order, [
    'Skip to the cameras', 'Skip to the partitions', 'Skip to the failures', 'filter', 'sort', 'medium', 'pause', 'car park 1',
  ]);
  await shot(page, 'keyboard-tile');
}

async function skipped(page) {
  await page.evaluate(() => document.activeElement.blur());
  await page.locator('.skips a').first().focus();
  ok((await page.locator('.skips a').first().boundingBox()).y >= 0, 'a skip link with the focus is in sight');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  equal(await focused(page), 'filter');
}

async function from_tile_to_tile(page) {
  await page.locator('.open').first().focus();
  const names = await page.locator('.tile .name').allTextContents();
  const columns = await page.evaluate(() => getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length);
  for (const [key, name] of [['ArrowRight', names[1]], ['ArrowDown', names[1 + columns]], ['ArrowUp', names[1]], ['End', names[11]], ['Home', names[0]]]) {
    await page.keyboard.press(key);
    equal(await focused(page), name, key);
    await focus_shows(page);
  }
}

async function large(page) {
  const names = await page.locator('.tile .name').allTextContents();
  const title = page.locator('#viewer-name');
  await page.keyboard.press('Enter');
  equal(await title.innerText(), names[0]);
  equal(await focused(page), 'viewer-close');
  await until('its picture', () => page.locator('#viewer img').isVisible());
  await shot(page, 'keyboard-large');
  for (const [key, at] of [['ArrowRight', 1], ['ArrowRight', 2], ['ArrowLeft', 1], ['ArrowLeft', 0], ['ArrowLeft', 11], ['ArrowRight', 0], ['ArrowRight', 1]]) {
    await page.keyboard.press(key);
    equal(await title.innerText(), names[at], key);
  }
  for (let n = 0; n < 4; n++) {
    await page.keyboard.press('Tab');
    const inside = await page.evaluate(() => document.activeElement === document.body || document.getElementById('viewer').contains(document.activeElement));
    ok(inside, 'the focus stays in the large view');
  }
  await page.keyboard.press('Escape');
  equal(await page.locator('#viewer').isVisible(), false);
  equal(await focused(page), names[1], 'the focus goes to the tile of the camera that was shown last');
}
