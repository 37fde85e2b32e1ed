// The event stream, and what happens when it ends: it is opened again and again, without a reload.
//
// In: `live/events`, as server-sent events. Out: `history`, `state`, `lost` and `refused` as they happen. Invariant: silence counts
// as an end, since a frozen process or a cable that was pulled out closes nothing.

/** States come once a second. */
const SILENCE_MS = 5000;
const RETRY_MS = [500, 1000, 2000, 3000];

export class Connection {
  #on;
  #silence = 0;
  #failures = 0;

  /** `on`: { history(History), state(State), lost(), refused(text) } */
  constructor(on) {
    this.#on = on;
  }

  async open() {
    const end = new AbortController();
    try {
      await this.#follow(end);
    } catch {
      // Nobody answers, or the stream broke off: `lost` says so.
    }
    clearTimeout(this.#silence);
    this.#on.lost();
    setTimeout(() => this.open(), RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)]);
  }

  /** `fetch` and not `EventSource`, which keeps to itself why a stream was refused. */
  async #follow(end) {
    this.#watch(end);
    const answer = await fetch('live/events', { cache: 'no-store', signal: end.signal });
    if (answer.status === 401) return location.assign('login');
    if (!answer.ok) return this.#on.refused((await answer.text()).trim() || `the server answers ${answer.status}`);
    const texts = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ; ) {
      const { done, value } = await texts.read();
      if (done) return undefined;
      this.#watch(end);
      const events = (rest + value).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        try {
          this.#tell(event);
        } catch (error) {
          // The page's own mistake, not the connection's.
          reportError(error);
        }
      }
    }
  }

  #watch(end) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => end.abort(), SILENCE_MS);
  }

  /** Lines of a field each; one without a name is a comment, which only shows that the server lives. */
  #tell(event) {
    const fields = new Map(event.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]));
    if (!fields.has('data')) return;
    const data = JSON.parse(fields.get('data'));
    if (fields.get('event') === 'history') return this.#on.history(data);
    this.#failures = 0;
    this.#on.state(data);
  }
}
