// What scenarios hold against a page: equality with a message, controls that have names, contrast, nothing wider than the screen.
//
// In: a page, or values. Out: nothing, or an error that names what is wrong.

import assert from 'node:assert/strict';

export const { ok, equal, deepEqual } = assert;

/** WCAG 2.2, 1.4.3: text of normal size. */
const TEXT_CONTRAST = 4.5;

export async function fits(page, what) {
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  ok(inner <= outer, `${what}: ${inner} px wide on a screen of ${outer} px`);
}

/** Whatever can have the focus has a name, as the browser itself tells screen readers; each picture has an `alt`, each id is there once. */
export async function named(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const controls = nodes.filter(({ ignored, properties }) => !ignored && properties?.some(({ name, value }) => name === 'focusable' && value.value));
  ok(controls.length > 0, 'there are controls');
  const nameless = controls.filter(({ name, role }) => !name?.value.trim() && role.value !== 'RootWebArea').map(({ role }) => role.value);
  deepEqual(nameless, [], 'controls without a name');
  const wrongs = await page.evaluate(() => {
    const pictures = [...document.images].filter((img) => !img.hasAttribute('alt'));
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
    const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
    const broken = [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].filter((element) =>
      `${element.getAttribute('aria-labelledby') ?? ''} ${element.getAttribute('aria-describedby') ?? ''}`.trim().split(/\s+/)
        .some((id) => !document.getElementById(id)));
    return [...pictures, ...broken].map((element) => element.outerHTML.slice(0, 120)).concat(twice);
  });
  deepEqual(wrongs, [], 'without an alt, or an id of their own');
}

/** Every text that is shown stands out from what lies behind it; by the formulas of WCAG 2.2 for relative luminance and contrast. */
export async function legible(page, what) {
  const faint = await page.evaluate((least) => {
    const parse = (text) => {
      const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
      return { rgb: [r, g, b], a };
    };
    const over = (top, below) => top.rgb.map((part, at) => part * top.a + below[at] * (1 - top.a));
    const behind = (element) => {
      if (!element) return [255, 255, 255];
      const { backgroundColor } = getComputedStyle(element);
      const ground = parse(backgroundColor);
      return ground.a === 1 ? ground.rgb : over(ground, behind(element.parentElement));
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = new Set();
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      let opacity = 1;
      for (let up = element; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
      const ground = behind(element);
      const ink = parse(getComputedStyle(element).color);
      const [light, dark] = [luminance(over({ ...ink, a: ink.a * opacity }, ground)), luminance(ground)].sort((a, b) => b - a);
      const contrast = (light + 0.05) / (dark + 0.05);
      if (contrast < least) found.add(`${contrast.toFixed(2)} ${element.className || element.tagName}: ${texts.currentNode.data.slice(0, 40)}`);
    }
    return [...found];
  }, TEXT_CONTRAST);
  deepEqual(faint, [], `${what}: texts of less contrast than ${TEXT_CONTRAST}`);
}

/** What has the focus shows it: by an outline, of its own or of what stands for it. */
export async function focus_shows(page) {
  const seen = await page.evaluate(() => {
    const outlined = (element) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
    };
    const focused = document.activeElement;
    const stand_ins = [focused, focused.nextElementSibling, focused.parentElement].filter(Boolean);
    return { shown: stand_ins.some(outlined), what: focused.outerHTML.slice(0, 120) };
  });
  ok(seen.shown, `the focus cannot be seen on ${seen.what}`);
}
