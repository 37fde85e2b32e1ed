// Beside the cameras: partitions, workers, and what failed lately.
//
// In: states. Out: a table and two lists, each with words for when there is nothing in it.

import * as clock from './clock.js';
import { Rows, copy, find, mark, put, putCut } from './dom.js';
import * as format from './format.js';

const parts = (id) => {
  const panel = find(id);
  return { count: panel.querySelector('.count'), empty: panel.querySelector('.empty') };
};

function told({ count, empty }, number, why) {
  put(count, number > 0 ? format.count(number) : '');
  empty.hidden = number > 0;
  put(empty, why);
}

/** A topic is a text of its own direction, what follows it is not. */
function place(element, topic, rest) {
  put(element.firstElementChild, topic);
  put(element.lastElementChild, rest);
  if (element.title !== topic + rest) element.title = topic + rest;
}

export class Partitions {
  #parts = parts('partitions');
  #table = find('partitions').querySelector('table');
  #rows = new Rows(this.#table.tBodies[0], () => ({ element: copy('partition') }));

  show({ partitions, ready, process }) {
    told(this.#parts, partitions.length, ready
      ? 'No partition: the group has more processes than partitions. Give the topic more partitions, or run fewer processes.'
      : `Joining the group “${process.group}”.`);
    this.#table.hidden = partitions.length === 0;
    const rows = this.#rows.show(partitions, ({ topic, partition }) => `${topic}/${partition}`);
    rows.forEach((row, at) => this.#fill(row.element, partitions[at]));
  }

  #fill(element, held) {
    const [name, state, lag, watermark, journal] = element.cells;
    place(name, held.topic, `/${held.partition}`);
    put(state, held.state);
    mark(element, 'state', held.state);
    put(lag, format.seconds(held.lag_seconds).join(' '));
    lag.title = `${format.plural(held.lag_records, 'record')} to read`;
    put(watermark, format.seconds(held.watermark_delay_s).join(' '));
    put(journal, format.count(held.journal_end));
    journal.title = `rows up to offset ${format.count(held.journal_end)} are safe, up to ${format.count(held.collected_end)} are at hand`;
  }
}

export class Workers {
  #parts = parts('workers');
  #rows = new Rows(find('workers').querySelector('ul'), () => ({ element: copy('worker') }));

  show({ workers }) {
    told(this.#parts, workers.length, 'No worker has begun.');
    const rows = this.#rows.show(workers, ({ id }) => id);
    rows.forEach(({ element }, at) => {
      const share = Math.min(1, Math.max(0, workers[at].busy ?? 0));
      const [id, track, text] = element.children;
      put(id, String(workers[at].id));
      track.firstElementChild.style.setProperty('--share', share.toFixed(3));
      put(text, `${Math.round(share * 100)} %`);
    });
  }
}

export class Failures {
  #parts = parts('failures');
  #rows = new Rows(find('failures').querySelector('ol'), (failure) => this.#row(failure));
  #shown = [];

  show({ failures }) {
    told(this.#parts, failures.length, 'No frame has failed.');
    put(find('failures-jump'), failures.length > 0 ? format.count(failures.length) : '');
    this.#shown = this.#rows.show(failures, (of) => `${of.at_us} ${of.topic}/${of.partition}@${of.offset}`);
    this.tick();
  }

  #row({ at_us: at, topic, partition, offset, source_id: camera, status, error }) {
    const element = copy('failure');
    const [name, age] = [element.querySelector('.name'), element.querySelector('.age')];
    put(element.querySelector('.status'), status);
    putCut(name, camera?.trim() || '(blank)');
    putCut(element.querySelector('.error'), error ?? '');
    place(element.querySelector('.place'), topic, `/${partition} at offset ${offset}`);
    age.title = new Date(at / 1000).toLocaleString();
    return { element, at, age };
  }

  tick() {
    for (const { at, age } of this.#shown) put(age, format.age(clock.age(at)));
  }
}
