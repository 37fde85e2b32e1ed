// Runs one scenario and says how it went: exit code 0, or 1 with the reason.
//
// In: the scenario's name (a file of this folder), and by the environment what it needs (URL, TOKEN, SCREENSHOTS). Out: a line.
// Invariant: it ends, by itself or with whoever started it, and takes its browser along.
//
// By hand: NODE_PATH=~/.cache/facestream/node/node_modules node tests/browser/run.mjs cameras

const LIMIT_MS = 300_000;
const name = process.argv[2];

function over(code, text) {
  console.error(text);
  process.exit(code);
}

setTimeout(() => over(1, `${name}: not done in ${LIMIT_MS / 1000} s`), LIMIT_MS).unref();
if (process.env.END_WITH_STDIN) process.stdin.on('end', () => over(1, `${name}: whoever started it is gone`)).resume().unref?.();

try {
  const { default: scenario } = await import(`./${name}.mjs`);
  await scenario();
  over(0, `${name}: ok`);
} catch (error) {
  over(1, `${name}: ${error.stack ?? error}`);
}
