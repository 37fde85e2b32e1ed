// The event stream, and what happens when it ends: it is opened again and again, without a reload.
//
// In: `live/events`. Out: `history`, `state`, `lost` and `refused` as they happen. Invariant: silence counts as an end, since a
// frozen process or a cable that was pulled out closes nothing.

/** States come once a second. */
const SILENCE_MS = 5000;
const RETRY_MS = [500, 1000, 2000, 3000];

export class Connection {
  #on;
  #stream = null;
  #silence = 0;
  #failures = 0;

  /** `on`: { history(History), state(State), lost(), refused(text) } */
  constructor(on) {
    this.#on = on;
  }

  open() {
    const stream = new EventSource('live/events');
    this.#stream = stream;
    this.#watch();
    stream.addEventListener('history', (event) => {
      this.#watch();
      this.#on.history(JSON.parse(event.data));
    });
    stream.addEventListener('state', (event) => {
      this.#watch();
      this.#failures = 0;
      this.#on.state(JSON.parse(event.data));
    });
    stream.addEventListener('error', () => this.#end());
  }

  #watch() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#end(), SILENCE_MS);
  }

  #end() {
    clearTimeout(this.#silence);
    this.#stream?.close();
    this.#stream = null;
    this.#on.lost();
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    setTimeout(() => this.#try(), wait);
  }

  /** An event stream keeps to itself why it was refused, so that is asked first. */
  async #try() {
    try {
      const answer = await fetch('live/state', { cache: 'no-store', signal: AbortSignal.timeout(SILENCE_MS) });
      if (answer.status === 401) return location.assign('login');
      if (answer.ok) return this.open();
      this.#on.refused((await answer.text()).trim() || `the server answers ${answer.status}`);
    } catch {
      // Nobody answers: that is what `lost` has said.
    }
    return this.#end();
  }
}
