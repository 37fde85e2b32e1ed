// One camera, large, over the page.
//
// In: a source, then the states that follow. Out: the dialog. Invariant: while it is open, its picture is the only one asked for;
// a camera that is gone stays, and is said to be gone.

import { Chart } from './chart.js';
import * as clock from './clock.js';
import { find, mark, put, putCut, putFacts, putOrHide } from './dom.js';
import * as format from './format.js';
import { Picture } from './pictures.js';
import { SOURCE_SPAN } from './trends.js';
import { nameOf, trouble } from './trouble.js';

const GONE = { kind: 'bad', text: 'no longer at this process' };

export class Viewer {
  #dialog = find('viewer');
  #picture = new Picture(this.#dialog.querySelector('.picture'));
  #chart = new Chart(find('viewer-chart'), SOURCE_SPAN, { steps: true, least: 2 });
  #pictures;
  #cameras;
  #source = null;
  #trends = null;

  constructor(pictures) {
    this.#pictures = pictures;
    find('viewer-previous').addEventListener('click', () => this.#step(-1));
    find('viewer-next').addEventListener('click', () => this.#step(1));
    find('viewer-close').addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('close', () => this.#closed());
    this.#dialog.addEventListener('click', (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this.#step(step);
    });
  }

  open(source, cameras, trends) {
    this.#source = source;
    this.#cameras = cameras;
    this.#trends = trends;
    this.#show(source, false);
    this.#dialog.showModal();
    this.#pictures.only(this.#picture);
  }

  /** A new state: the camera goes on, or is gone. */
  update(state, trends) {
    if (!this.#dialog.open) return;
    this.#trends = trends;
    // By name, too: another run gives ids anew.
    const same = ({ id, source_id: name }) => id === this.#source.id && name === this.#source.source_id;
    const source = state.sources.find(same);
    this.#show(source ?? this.#source, !source);
  }

  #step(by) {
    const shown = this.#cameras.shown();
    const at = shown.findIndex(({ source }) => source.id === this.#source.id);
    if (shown.length === 0) return;
    this.#source = shown[(Math.max(at, by > 0 ? -1 : 0) + by + shown.length) % shown.length].source;
    this.#show(this.#source, false);
    this.#pictures.only(this.#picture);
  }

  #show(source, gone) {
    this.#source = source;
    if (gone) this.#picture.id = null;
    else this.#picture.follow(source);
    const { kind, text } = gone ? GONE : trouble(source);
    mark(this.#dialog, 'kind', kind);
    putCut(find('viewer-name'), nameOf(source));
    this.#dialog.querySelector('img').alt = `The latest picture of ${nameOf(source)}`;
    putOrHide(this.#dialog.querySelector('.trouble'), text);
    const shown = this.#cameras.shown();
    const at = shown.findIndex((tile) => tile.source.id === source.id);
    put(find('viewer-place'), at < 0 ? '' : `${format.count(at + 1)} of ${format.count(shown.length)}`);
    const faces = this.#trends.of(source);
    this.#chart.show(faces);
    const most = Math.max(-1, ...faces.filter((value) => value != null));
    put(find('viewer-most'), most < 0 ? '' : `most: ${format.count(most)}`);
    this.#facts(source);
  }

  #facts(source) {
    putFacts(this.#dialog.querySelector('dl'), [
      ['Faces', format.count(source.faces)],
      ['Rate', `${format.rate(source.frames_per_s)} frames/s`],
      ['Last frame', ago(source.last_frame_us)],
      ['Status', source.status],
      ['Picture', source.image_w_px ? `${source.image_w_px} × ${source.image_h_px} px` : null],
      ['Partition', `${source.topic}/${source.partition}`],
    ]);
  }

  #closed() {
    this.#pictures.only(null);
    this.#cameras.focus(this.#source.id);
  }
}

function ago(us) {
  const text = format.age(clock.age(us));
  return text === 'now' || text === format.NONE ? text : `${text} ago`;
}
