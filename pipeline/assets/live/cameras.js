// The tiles: one for each camera, found by name, put in order, sized, and opened large.
//
// In: the state's sources, and what the visitor chose. Out: tiles; which pictures are wanted. Invariant: a tile out of sight asks
// for no picture and draws no chart, so that 200 cameras cost what a screenful does.

import { Chart } from './chart.js';
import { Rows, copy, find, mark, put, putCut, putOrHide } from './dom.js';
import * as format from './format.js';
import { Picture } from './pictures.js';
import { SOURCE_SPAN } from './trends.js';
import { nameOf, trouble } from './trouble.js';

/** An order that follows the numbers is not made anew more often: tiles that jump cannot be clicked. */
const REORDER_MS = 5000;
const byName = new Intl.Collator('en', { numeric: true });
const ORDERS = {
  name: () => 0,
  faces: (a, b) => (b.faces ?? -1) - (a.faces ?? -1),
  trouble: (a, b) => trouble(a).rank - trouble(b).rank,
};

class Tile {
  element = copy('tile');
  seen = false;
  source = null;

  constructor(open) {
    this.picture = new Picture(this.element.querySelector('.picture'));
    this.trouble = this.element.querySelector('.trouble');
    this.button = this.element.querySelector('.open');
    [this.name, this.now, this.place, this.rate] = [...this.element.children].slice(2);
    this.button.addEventListener('click', () => open(this.source));
  }

  show(source, trends) {
    this.source = source;
    const name = nameOf(source);
    const { kind, text } = trouble(source);
    this.picture.follow(source);
    putCut(this.name, name);
    if (this.button.ariaLabel !== name) this.button.ariaLabel = name;
    put(this.now, format.plural(source.faces, 'face'));
    put(this.rate, `${format.rate(source.frames_per_s)} frames/s`);
    mark(this.element, 'kind', kind);
    putOrHide(this.trouble, text);
    this.trends = trends;
    if (this.seen) this.draw();
  }

  draw() {
    // Most tiles of 200 are never scrolled to: their charts are made when they are.
    this.chart ??= new Chart(this.place, SOURCE_SPAN, { steps: true, least: 2 });
    this.chart.show(this.trends.of(this.source));
  }
}

export class Cameras {
  #grid = find('grid');
  #filter = find('filter');
  #sort = find('sort');
  #pictures;
  #rows;
  #watch = new IntersectionObserver((entries) => this.#looked(entries));
  #owners = new WeakMap();
  #tiles = [];
  #order = [];
  #orderedAt = -Infinity;
  #state = null;
  #trends = null;

  constructor(pictures, open) {
    this.#pictures = pictures;
    this.#rows = new Rows(this.#grid, () => this.#tile(open));
    this.#filter.addEventListener('input', () => this.#sift());
    this.#sort.addEventListener('change', () => this.#arrange());
    this.#grid.addEventListener('keydown', (event) => this.#step(event));
  }

  #tile(open) {
    const tile = new Tile(open);
    this.#owners.set(tile.element, tile);
    this.#watch.observe(tile.element);
    return tile;
  }

  #looked(entries) {
    for (const { target, isIntersecting } of entries) {
      const tile = this.#owners.get(target);
      tile.seen = isIntersecting && target.isConnected;
      if (tile.seen) tile.draw();
      this.#pictures.want(tile.picture, tile.seen);
    }
  }

  show(state, trends) {
    this.#state = state;
    this.#trends = trends;
    const known = new Map(state.sources.map((source) => [source.id, source]));
    const changed = known.size !== this.#order.length || !this.#order.every((id) => known.has(id));
    const due = this.#sort.value !== 'name' && performance.now() - this.#orderedAt >= REORDER_MS;
    if (changed || due) this.#reorder();
    const sources = this.#order.map((id) => known.get(id));
    this.#tiles = this.#rows.show(sources, ({ id }) => id);
    this.#tiles.forEach((tile, at) => tile.show(sources[at], trends));
    // One or two cameras have the room of many.
    mark(this.#grid, 'few', String(sources.length < 3));
    this.#sift();
  }

  /** The ids are about to mean other cameras. */
  forget() {
    this.#order = [];
    this.#tiles = this.#rows.show([], () => null);
  }

  #arrange() {
    if (!this.#state) return;
    this.#reorder();
    this.show(this.#state, this.#trends);
  }

  #reorder() {
    const order = ORDERS[this.#sort.value];
    const sorted = [...this.#state.sources].sort((a, b) => order(a, b) || byName.compare(a.source_id, b.source_id));
    this.#order = sorted.map(({ id }) => id);
    this.#orderedAt = performance.now();
  }

  /** Hides what the filter does not name, and says how many there are. */
  #sift() {
    const wanted = this.#filter.value.trim().toLowerCase();
    let shown = 0;
    for (const { element, source } of this.#tiles) {
      element.hidden = !source.source_id.toLowerCase().includes(wanted);
      shown += element.hidden ? 0 : 1;
    }
    put(find('cameras-count'), this.#counted(shown));
    this.#explain(shown, wanted);
  }

  #counted(shown) {
    if (!this.#state) return '';
    const { sources, sources_total: total } = this.#state;
    const silent = sources.filter(({ active }) => !active).length;
    const parts = [shown === total ? format.count(total) : `${format.count(shown)} of ${format.count(total)}`];
    if (silent > 0) parts.push(`${format.count(silent)} silent`);
    if (total > sources.length) parts.push(`${format.count(total - sources.length)} not shown here`);
    return parts.join(' · ');
  }

  /** What to do where there is no tile. */
  #explain(shown, wanted) {
    const place = find('no-cameras');
    place.hidden = shown > 0 || !this.#state;
    if (place.hidden) return;
    const { sources, partitions, process } = this.#state;
    const [words, command] = place.children;
    const lacksPictures = sources.length === 0 && partitions.length > 0;
    put(words, lacksPictures ? 'No camera yet. Send some pictures:'
      : sources.length > 0 ? `No camera's name contains “${wanted}”.` : 'No camera: this process holds no partition.');
    command.hidden = !lacksPictures;
    put(command, `facestream produce --topic ${process.topics[0] ?? 'frames'} photos/`);
  }

  /** Arrow keys go from tile to tile, as they lie. */
  #step(event) {
    const shown = this.shown();
    const at = shown.findIndex(({ button }) => button === document.activeElement);
    if (at < 0) return;
    const columns = shown.filter(({ element }) => element.offsetTop === shown[0].element.offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: shown.length - 1 - at };
    const next = shown[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    next.button.focus();
  }

  /** The tiles that the filter leaves, in order. */
  shown() {
    return this.#tiles.filter(({ element }) => !element.hidden);
  }

  focus(id) {
    this.#rows.get(id)?.button.focus();
  }
}
