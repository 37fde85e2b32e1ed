// The live page: one state a second from this process, shown as it comes.
//
// In: the event stream (connection.js) and the visitor's choices. Out: the parts, each in its own file, in the order in which they
// lie on the page. Invariant: everything that is shown came with the latest state; what is older says how old it is.

import * as clock from './clock.js';
import { Cameras } from './cameras.js';
import { Connection } from './connection.js';
import { find } from './dom.js';
import { Pictures } from './pictures.js';
import { choices } from './choices.js';
import { Summary } from './summary.js';
import { Failures, Partitions, Workers } from './tables.js';
import { Trends } from './trends.js';
import { Viewer } from './viewer.js';

const trends = new Trends();
const pictures = new Pictures();
const summary = new Summary();
const viewer = new Viewer(pictures);
const cameras = new Cameras(pictures, (source) => viewer.open(source, cameras, trends));
const side = [new Partitions(), new Workers(), new Failures()];
let latest = null;

function show(state) {
  // Another run counts its cameras and pictures from the start.
  if (latest && latest.process.run_id !== state.process.run_id) cameras.forget();
  latest = state;
  clock.hear(state.now_us);
  trends.add(state);
  summary.connected();
  summary.show(state, trends);
  for (const part of side) part.show(state);
  cameras.show(state, trends);
  viewer.update(state, trends);
  find('logout').hidden = !state.login;
  document.title = `${state.process.host} · facestream`;
  pictures.hold('no connection', false);
}

function lost() {
  pictures.hold('no connection', true);
  summary.lost();
  if (latest) document.title = `(connection lost) ${latest.process.host} · facestream`;
}

const connection = new Connection({
  history: (history) => trends.replace(history),
  state: show,
  lost,
  refused: (text) => summary.refused(text),
});

choices(pictures);
document.addEventListener('visibilitychange', () => pictures.hold('hidden', document.hidden));
pictures.hold('hidden', document.hidden);
setInterval(() => {
  summary.tick(latest?.now_us);
  for (const part of side) part.tick?.();
}, 1000);
connection.open();
