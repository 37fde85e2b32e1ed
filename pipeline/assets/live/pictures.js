// Whose picture is asked for next: a few at a time, the one that has waited longest first, nobody too often.
//
// In: pictures that want to be shown (those in view). Out: requests of `live/frames/ID`, which also tell the server that somebody
// looks. Invariant: there are never more than AT_A_TIME requests, and none while something holds them: a hidden page, a lost
// connection, a pause.

/** Browsers allow six connections to a host; one is the event stream's, one is left for the rest. */
const AT_A_TIME = 4;
const PATIENCE_MS = 5000;
/** The server forgets after 5 s that somebody looks. */
const SLOWEST_MS = 2000;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const fastestMs = () => (calm.matches ? SLOWEST_MS : 330);

/** A place for the latest picture of a source: an `img`, and what is said while there is none. */
export class Picture {
  /** The source to ask for; `null` while there is nobody to ask. */
  id = null;
  due = 0;
  asking = false;
  #img;
  #waiting;
  #shown = null;
  #of = null;

  constructor(place) {
    this.#img = place.querySelector('img');
    this.#waiting = place.querySelector('.waiting');
    this.every = SLOWEST_MS;
  }

  /** No more often than the camera sends. */
  follow(source) {
    if (this.#of !== source.id) this.clear();
    this.#of = source.id;
    this.id = source.id;
    const gap = source.frames_per_s > 0 ? 1000 / source.frames_per_s : SLOWEST_MS;
    this.every = Math.min(Math.max(gap, fastestMs()), SLOWEST_MS);
  }

  clear() {
    this.#shown = null;
    this.due = 0;
    this.#img.hidden = true;
    this.#waiting.hidden = false;
  }

  /** Takes picture number `n`; the old one stays until the new one is ready. */
  async show(id, n, blob) {
    if (id !== this.id || n === this.#shown) return;
    const url = URL.createObjectURL(blob);
    const next = new Image();
    next.src = url;
    try {
      await next.decode();
      if (id !== this.id) return;
      this.#img.src = url;
      await this.#img.decode();
      this.#img.hidden = false;
      this.#waiting.hidden = true;
      this.#shown = n;
    } finally {
      URL.revokeObjectURL(url);
    }
  }
}

export class Pictures {
  #wanted = new Set();
  #holds = new Set();
  #alone = null;
  #asking = 0;
  #timer = 0;

  want(picture, wanted) {
    if (wanted) this.#wanted.add(picture);
    else this.#wanted.delete(picture);
    this.#next();
  }

  /** Asks for no others while this one is shown large; `null` ends that. */
  only(picture) {
    this.#alone = picture;
    this.#next();
  }

  hold(reason, held) {
    if (held) this.#holds.add(reason);
    else this.#holds.delete(reason);
    this.#next();
  }

  #next() {
    clearTimeout(this.#timer);
    if (this.#holds.size > 0) return;
    while (this.#asking < AT_A_TIME) {
      const picture = this.#mostDue();
      if (!picture) return;
      const wait = picture.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#next(), wait);
        return;
      }
      this.#ask(picture);
    }
  }

  #mostDue() {
    let first = null;
    for (const picture of this.#alone ? [this.#alone] : this.#wanted) {
      if (!picture.asking && picture.id != null && (!first || picture.due < first.due)) first = picture;
    }
    return first;
  }

  async #ask(picture) {
    const { id } = picture;
    this.#asking += 1;
    picture.asking = true;
    picture.due = performance.now() + picture.every;
    try {
      const answer = await fetch(`live/frames/${encodeURIComponent(id)}`, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
      const blob = await answer.blob();
      if (answer.status === 200) await picture.show(id, answer.headers.get('X-Image'), blob);
    } catch {
      // No answer, or no picture: the connection says the first, the next picture mends the second.
      picture.due += SLOWEST_MS;
    } finally {
      picture.asking = false;
      this.#asking -= 1;
      this.#next();
    }
  }
}
