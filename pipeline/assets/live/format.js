// Numbers as people read them, each with its unit.
//
// In: numbers, null where there is none. Out: text. Invariant: what is absent reads as a dash, never as 0.

export const NONE = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** 12,345 */
export const count = (n) => (n == null ? NONE : whole.format(n));

/** 812, 12.3K, 1.2M */
export const about = (n) => (n == null ? NONE : short.format(n));

/** 24.9 or 1,204: a digit after the point while it tells something. */
export const rate = (n) => (n == null ? NONE : n === 0 || n >= 99.95 ? whole.format(n) : tenths.format(n));

/** `1 face`, `3 faces`, `– faces` */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Seconds as a number and a unit: ['48', 'ms'], ['1.2', 's'], ['3', 'min'], ['2.5', 'h']. */
export function seconds(s) {
  if (s == null) return [NONE, ''];
  if (s > 0 && s < 0.9995) return [whole.format(Math.max(1, s * 1000)), 'ms'];
  if (s < 9.95) return [s === 0 ? '0' : tenths.format(s), 's'];
  if (s < 119.5) return [whole.format(s), 's'];
  if (s < 7170) return [whole.format(s / 60), 'min'];
  return s < 172_800 ? [tenths.format(s / 3600), 'h'] : [whole.format(s / 86_400), 'days'];
}

/** Microseconds that count: `now`, `5 s`, `3 min`, `2.5 h`. */
export function age(us) {
  if (us == null) return NONE;
  return us < 1_000_000 ? 'now' : seconds(Math.floor(us / 1_000_000)).join(' ').replace('.0 s', ' s');
}

/** 12.3 MB/s */
export function bytesPerSecond(n) {
  if (n == null) return NONE;
  const unit = n >= 1e9 ? [1e9, 'GB'] : n >= 1e6 ? [1e6, 'MB'] : n >= 1e3 ? [1e3, 'kB'] : [1, 'B'];
  return `${rate(n / unit[0])} ${unit[1]}/s`;
}

/** Numbers in ascending order as ranges: `0–3, 7`. */
export function ranges(numbers) {
  const runs = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && n === last[1] + 1) last[1] = n;
    else runs.push([n, n]);
  }
  const text = ([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from}–${to}`);
  return runs.map(text).join(', ');
}
