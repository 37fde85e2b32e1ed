// For every visitor: a phone, light and dark, less motion, a screen reader; in the states that make the page's layout hardest.

import { equal, fits, legible, named, ok } from './check.mjs';
import { Fake, hostile, troubles } from './fake.mjs';
import { DESK, PHONE, pictures_shown, shot, until, visit } from './page.mjs';

export default async function looks() {
  for (const colorScheme of ['light', 'dark']) {
    await desk(colorScheme);
    await phone(colorScheme);
  }
  await login();
  await calm();
}

async function with_fake(cameras, change, options, scenario) {
  const fake = new Fake(cameras);
  change(fake.state);
  await fake.start();
  await visit(fake.url, options, async (page) => {
    await until('a tile', () => page.locator('.tile').first().isVisible());
    await scenario(page, fake);
  });
  await fake.stop();
}

async function desk(colorScheme) {
  await with_fake(12, trouble_without_blur, { colorScheme, viewport: DESK }, async (page) => {
    await until('pictures', async () => (await pictures_shown(page)) >= 6);
    await named(page);
    await legible(page, colorScheme);
    await shot(page, `desk-${colorScheme}`);
    await page.locator('.open').nth(2).click();
    await until('the large picture', () => page.locator('#viewer img').isVisible());
    await legible(page, `${colorScheme}, large`);
    await shot(page, `large-${colorScheme}`);
  });
}

function trouble_without_blur(state) {
  troubles(state);
  state.blur = false;
  state.obstacles = ['the store does not answer'];
  state.ready = false;
}

async function phone(colorScheme) {
  for (const [what, change] of [['troubles', trouble_without_blur], ['hostile', hostile]]) {
    const options = { colorScheme, viewport: PHONE, hasTouch: true, allow: /Failed to load resource|ERR_/ };
    await with_fake(12, change, options, async (page, fake) => {
      for (const size of ['Small', 'Medium', 'Large']) {
        await page.getByLabel(size).check();
        await fits(page, `${what}, ${size}`);
      }
      await page.getByLabel('Medium').check();
      // WCAG 2.2, 1.4.10: a screen of 1280 px at 400 %.
      await page.setViewportSize({ ...PHONE, width: 320 });
      await fits(page, `${what}, at 320 px`);
      await page.setViewportSize(PHONE);
      await shot(page, `phone-${what}-${colorScheme}`, { fullPage: true });
      await page.locator('.open').first().tap();
      await fits(page, `${what}, large`);
      await shot(page, `phone-large-${what}-${colorScheme}`);
      await page.keyboard.press('Escape');
      await fake.stop();
      await page.locator('#connection').getByText('connection lost').waitFor();
      await until('an age', async () => /old/.test(await page.locator('#connection').innerText()));
      await fits(page, `${what}, lost`);
      await legible(page, `${colorScheme}, ${what}, lost`);
      await shot(page, `phone-lost-${what}-${colorScheme}`);
      await fake.start();
    });
  }
}

async function login() {
  const fake = await new Fake(0).start();
  for (const colorScheme of ['light', 'dark']) {
    await visit(`${fake.url}login`, { colorScheme, viewport: PHONE }, async (page) => {
      await named(page);
      await legible(page, `log-in, ${colorScheme}`);
      await fits(page, 'log-in');
      await shot(page, `login-${colorScheme}`);
    });
  }
  await fake.stop();
}

/** Whoever asks for less motion gets fewer pictures, and nothing that moves in between. */
async function calm() {
  const asked = {};
  for (const reducedMotion of ['reduce', 'no-preference']) {
    await with_fake(3, () => {}, { reducedMotion }, async (page, fake) => {
      await until('pictures', async () => (await pictures_shown(page)) === 3);
      fake.asked.clear();
      await page.waitForTimeout(4000);
      asked[reducedMotion] = [...fake.asked.values()].reduce((sum, n) => sum + n, 0);
      const moving = await page.evaluate(() => [...document.querySelectorAll('*')].filter((element) => getComputedStyle(element).transitionDuration !== '0s').length);
      equal(moving > 0, reducedMotion !== 'reduce', `${moving} elements with transitions`);
    });
  }
  ok(asked.reduce > 0 && asked.reduce * 2 < asked['no-preference'], JSON.stringify(asked));
}
