// Small charts in SVG: a line with the area under it, the newest value at the right edge.
//
// In: values, oldest first, null where there is none. Out: an `svg` that screen readers pass over (the number beside it is text).
// Invariant: the scale begins at 0; where there is no value there is no line.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 100;
/** A count goes on over so many values that are missing: a camera that sends every two seconds is not one that stops and starts. */
const HELD = 2;
/** Room above the highest value, so that its line is not cut. */
const ROOM = 8;

export class Chart {
  #length;
  #steps;
  #area = document.createElementNS(SVG, 'path');
  #line = document.createElementNS(SVG, 'path');

  /** For up to `length` values; `steps` draws each as a level of its own, as counts are. `least` is the least top of the scale. */
  constructor(place, length, { steps = false, least = 1e-9 } = {}) {
    this.#length = length;
    this.#steps = steps;
    this.least = least;
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', `0 0 ${steps ? length : length - 1} ${HEIGHT}`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    this.#area.setAttribute('class', 'area');
    this.#line.setAttribute('class', 'trend');
    svg.append(this.#area, this.#line);
    place.append(svg);
  }

  show(values) {
    const latest = (this.#steps ? held(values) : values).slice(-this.#length);
    const top = Math.max(this.least, ...latest.filter((value) => value != null));
    const height = (value) => (HEIGHT - (value / top) * (HEIGHT - ROOM)).toFixed(1);
    let line = '';
    let area = '';
    for (const run of this.#runs(latest)) {
      const points = run.values.map((value, at) => this.#point(run.start + at, height(value)));
      const end = run.start + run.values.length - (this.#steps ? 0 : 1);
      line += `M${run.start} ${height(run.values[0])}${points.join('')}`;
      area += `M${run.start} ${HEIGHT}${`L${run.start} ${height(run.values[0])}`}${points.join('')}L${end} ${HEIGHT}Z`;
    }
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', area);
  }

  #point(x, y) {
    return this.#steps ? `L${x} ${y}L${x + 1} ${y}` : `L${x} ${y}`;
  }

  /** Values without a gap, each run with where it starts; the last value lies at the right edge. */
  #runs(values) {
    const runs = [];
    const shift = this.#length - values.length;
    values.forEach((value, at) => {
      if (value == null) return;
      if (at > 0 && values[at - 1] != null) runs.at(-1).values.push(value);
      else runs.push({ start: at + shift, values: [value] });
    });
    return runs;
  }
}

function held(values) {
  let missing = 0;
  let last = null;
  return values.map((value) => {
    missing = value == null ? missing + 1 : 0;
    last = missing > HELD ? null : (value ?? last);
    return last;
  });
}
