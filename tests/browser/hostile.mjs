// Names, topics, errors and hosts that are markup, reversed, endless or empty: text, all of it, in its place.

import { deepEqual, equal, ok } from './check.mjs';
import { Fake, HOSTILE, hostile as make_hostile } from './fake.mjs';
import { pictures_shown, shot, until, visit } from './page.mjs';

export default async function hostile() {
  const fake = new Fake(12);
  make_hostile(fake.state);
  await fake.start();
  await visit(fake.url, { colorScheme: 'light' }, async (page) => {
    await until('tiles', async () => (await page.locator('.tile').count()) === 12);
    await until('pictures', async () => (await pictures_shown(page)) >= 6);
    const names = await page.locator('.tile .name').allTextContents();
    for (const name of HOSTILE) ok(names.includes(name.trim() || '(blank)'), `${JSON.stringify(name)} is shown as it is`);
    await nothing_was_made_of_it(page);
    await in_its_place(page);
    await shot(page, 'hostile');
    await page.getByRole('button', { name: HOSTILE[0] }).click();
    equal(await page.locator('#viewer-name').innerText(), HOSTILE[0]);
    await until('its picture', () => page.locator('#viewer img').isVisible());
    await shot(page, 'hostile-large');
    await nothing_was_made_of_it(page);
  });
  await fake.stop();
}

async function nothing_was_made_of_it(page) {
  const strange = await page.evaluate(() => [...document.querySelectorAll('script, a, i, b, s, u, svg, img')].filter((element) => {
    if (element.matches('script')) return element.getAttribute('src') !== 'live.js';
    if (element.matches('a')) return !/^#(cameras|partitions|workers|failures)$/.test(element.getAttribute('href'));
    if (element.matches('svg')) return !element.closest('.chart');
    return !element.matches('img') || element.onerror || !/^(blob:|favicon\.svg$|$)/.test(element.getAttribute('src') ?? '');
  }).map((element) => element.outerHTML.slice(0, 100)));
  deepEqual(strange, []);
}

/** Each name keeps to its own tile, whatever its direction and length, and the whole of it (up to 500 characters) is its title. */
async function in_its_place(page) {
  const tiles = await page.locator('.tile').evaluateAll((all) => all.map((tile) => {
    const [outer, name] = [tile.getBoundingClientRect(), tile.querySelector('.name').getBoundingClientRect()];
    const element = tile.querySelector('.name');
    return {
      inside: name.left >= outer.left && name.right <= outer.right, height: name.height, isolated: getComputedStyle(element).unicodeBidi,
      title: element.title.length, whole: element.textContent.length,
    };
  }));
  for (const tile of tiles) {
    ok(tile.inside && tile.height < 30 && tile.isolated === 'isolate', JSON.stringify(tile));
    equal(tile.title, Math.min(tile.whole, 501));
  }
}
