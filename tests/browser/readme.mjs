// Not a test: photographs the README's picture of the live page, of `facestream demo --cameras 6 --for 3m` on a machine with nothing else
// to do. A palette of 256 colours (pngquant, Pillow) brings it below 200 kB.
//
// In: URL, the page of a running demo; SCREENSHOTS, a folder. Out: live.png. By hand:
// URL=http://127.0.0.1:9464 SCREENSHOTS=docs NODE_PATH=~/.cache/facestream/node/node_modules node tests/browser/run.mjs readme

import { pictures_shown, shot, until, visit } from './page.mjs';

export default async function readme() {
  await visit(process.env.URL, { colorScheme: 'light' }, async (page) => {
    await until('tiles with pictures', async () => (await pictures_shown(page)) >= 6, 60_000);
    // The charts are of the last one and two minutes.
    await page.waitForTimeout(70_000);
    await shot(page, 'live');
  });
}
