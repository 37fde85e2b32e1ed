// The visitor's choices that outlive a visit (order, tile size), and the one that does not (pictures held).
//
// In: the controls, and what the browser kept. Out: the grid's size, the order's control, held pictures. Invariant: a browser that
// keeps nothing, or kept nonsense, shows the page as it is.

import { find } from './dom.js';

export function choices(pictures) {
  const size = find('size');
  size.addEventListener('change', () => {
    const chosen = size.querySelector('input:checked').value;
    find('grid').dataset.size = chosen;
    keep('size', chosen);
  });
  const kept = [...size.querySelectorAll('input')].find(({ value }) => value === recall('size'));
  if (kept) kept.checked = true;
  find('grid').dataset.size = size.querySelector('input:checked').value;

  const sort = find('sort');
  sort.addEventListener('change', () => keep('sort', sort.value));
  if ([...sort.options].some(({ value }) => value === recall('sort'))) sort.value = recall('sort');

  const pause = find('pause');
  pause.addEventListener('click', () => {
    const paused = pause.ariaPressed !== 'true';
    pause.ariaPressed = String(paused);
    pictures.hold('pause', paused);
  });
}

function keep(name, value) {
  try {
    localStorage.setItem(`facestream.${name}`, value);
  } catch {
    // Not kept, then.
  }
}

function recall(name) {
  try {
    return localStorage.getItem(`facestream.${name}`);
  } catch {
    return null;
  }
}
