// What is wrong with a camera, in words: one rule for tiles, order and the large view.
//
// In: a source of the state. Out: { kind: 'bad' | 'warn' | '', rank, text }, the worst with the lowest rank.

import * as clock from './clock.js';
import * as format from './format.js';

/** The load policy left these out: that is as ordered. */
const AS_ORDERED = new Set(['ok', 'sampled_out', 'stale']);

export function trouble(source) {
  if (source.status && !AS_ORDERED.has(source.status)) {
    const reason = source.error ? `: ${source.error}` : '';
    return { kind: 'bad', rank: 0, text: `${source.status}${reason}` };
  }
  if (!source.active) {
    return { kind: 'warn', rank: 1, text: `silent for ${format.age(clock.age(source.last_frame_us))}` };
  }
  return { kind: '', rank: 2, text: '' };
}

/** A name to show, for a source whose id may be blank. */
export const nameOf = (source) => source.source_id.trim() || '(blank)';
