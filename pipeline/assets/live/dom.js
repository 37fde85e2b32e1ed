// The few ways in which this page changes its document.
//
// In: text from anywhere, hostile too. Out: nodes. Invariant: text goes in as text alone, never as markup, and nothing is touched
// that is already as it should be.

const TITLE_AT_MOST = 500;

export const find = (id) => document.getElementById(id);

/** An element with a class and children (nodes, or text). */
export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** A copy of the one element in the template `id`. */
export const copy = (id) => find(id).content.firstElementChild.cloneNode(true);

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text that may be cut by the layout, with the whole of it (up to a limit) as the title. */
export function putCut(element, text) {
  put(element, text);
  const title = text.length > TITLE_AT_MOST ? `${text.slice(0, TITLE_AT_MOST)}…` : text;
  if (element.title !== title) element.title = title;
}

/** Text where there is some, no element where there is none. */
export function putOrHide(element, text) {
  element.hidden = !text;
  putCut(element, text || '');
}

export function mark(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

/** Facts as `dt`, `dd` pairs: a list of [name, text]; those without text are left out. */
export function putFacts(list, facts) {
  const known = facts.filter(([, text]) => text != null && text !== '');
  while (list.children.length > known.length) list.lastElementChild.remove();
  known.forEach(([name, text], at) => {
    const fact = list.children[at] ?? list.appendChild(make('div', '', make('dt'), make('dd', '', make('bdi'))));
    put(fact.firstElementChild, name);
    putCut(fact.lastElementChild.firstElementChild, String(text));
  });
}

/** The children of an element, one for each item, kept as long as the item's key is there. */
export class Rows {
  #parent;
  #create;
  #known = new Map();

  /** `create(item)` gives an object with an `element`. */
  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  /** Shows exactly these, in this order; an element that has the focus keeps it. Returns the objects in the same order. */
  show(items, keyOf) {
    const focused = document.activeElement;
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of this.#known) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#known.delete(key);
    }
    const rows = items.map((item) => {
      const key = keyOf(item);
      if (!this.#known.has(key)) this.#known.set(key, this.#create(item));
      return this.#known.get(key);
    });
    let place = this.#parent.firstElementChild;
    for (const { element } of rows) {
      if (element === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(element, place);
    }
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    return rows;
  }

  get(key) {
    return this.#known.get(key);
  }
}
