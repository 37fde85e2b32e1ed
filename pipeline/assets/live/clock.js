// The server's clock as this page knows it, so that ages are right where the two machines disagree.
//
// In: the time of each state. Out: the server's time now, and ages, in microseconds. Invariant: it goes on without the server.

let aheadUs = 0;

const hereUs = () => Date.now() * 1000;

/** The server said that it is `nowUs`, a moment ago. */
export function hear(nowUs) {
  aheadUs = nowUs - hereUs();
}

/** Microseconds since `atUs`; 0 for what lies ahead, null for what never was. */
export function age(atUs) {
  return atUs == null ? null : Math.max(0, hereUs() + aheadUs - atUs);
}
