// What the charts show: the last two minutes of the process, the last minute of each camera.
//
// In: the server's history when the stream begins, then a state a second. Out: lists of values, oldest first, null where there is
// none. Invariant: no list is longer than its span, and a camera that is gone takes its list with it.

export const PROCESS_SPAN = 120;
export const SOURCE_SPAN = 60;

export class Trends {
  frames = [];
  faces = [];
  lag = [];
  latency = [];
  #sources = new Map();
  #lastFrame = new Map();
  #isCovered = false;

  /** The stream begins, or begins again: what the server remembers replaces what is here. */
  replace(history) {
    this.#isCovered = true;
    this.frames = history.frames_per_s.slice(-PROCESS_SPAN);
    this.faces = history.faces_per_s.slice(-PROCESS_SPAN);
    this.lag = history.lag_seconds.slice(-PROCESS_SPAN);
    this.latency = history.latency_p99_s.slice(-PROCESS_SPAN);
    this.#sources = new Map(Object.entries(history.sources).map(([id, faces]) => [id, faces.slice(-SOURCE_SPAN)]));
  }

  add(state) {
    // The history goes up to the first state that follows it.
    if (!this.#isCovered) this.#append(state);
    this.#isCovered = false;
    this.#lastFrame = new Map(state.sources.map(({ id, last_frame_us: at }) => [String(id), at]));
  }

  #append(state) {
    push(this.frames, state.rates.frames_per_s, PROCESS_SPAN);
    push(this.faces, state.rates.faces_per_s, PROCESS_SPAN);
    push(this.lag, state.lag.seconds, PROCESS_SPAN);
    push(this.latency, state.latency_s?.p99, PROCESS_SPAN);
    const kept = new Map();
    for (const source of state.sources) {
      const id = String(source.id);
      const faces = this.#sources.get(id) ?? [];
      // A camera that sent nothing since the last state has no value for this second.
      push(faces, source.last_frame_us === this.#lastFrame.get(id) ? null : source.faces, SOURCE_SPAN);
      kept.set(id, faces);
    }
    this.#sources = kept;
  }

  of(source) {
    return this.#sources.get(String(source.id)) ?? [];
  }
}

function push(values, value, span) {
  values.push(value ?? null);
  if (values.length > span) values.shift();
}
