/** The title of the tab: what is shown in it, or a mark for what happened while nobody was looking. */

const NAME = 'Impasto';

let shown = NAME;
/** @type {?string} */
let mark = null;

/** @param {string} [title]  of what is shown; by default the page's own */
export function nameTab(title = NAME) {
  shown = title;
  show();
}

/** Takes the title's place until somebody looks at the tab. @param {string} news */
export function markTab(news) {
  mark = news;
  show();
}

const show = () => (document.title = mark ?? shown);

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  mark = null;
  show();
});
