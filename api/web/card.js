/** One job among others: what it looks like, how far it is, what can be done with it. */

import { getPreview, getResult } from './api.js';
import { setAspect } from './dom.js';
import { isFinished } from './follow.js';
import { ago, jobTitle, percentOf, stateOf, STATUS_NAMES } from './format.js';
import { isTransient } from './patience.js';
import { inShort, recipe } from './recipe.js';

const LARGE_PX = 1_500_000; // of a result that is not fetched for a thumbnail if there is a preview

/**
 * @typedef {import('./api.js').Job} Job
 *
 * @typedef {'cancel' | 'retry' | 'reuse' | 'delete'} Deed
 */

/** @type {{deed: Deed, name: string, suits: (job: Job) => boolean}[]} */
const DEEDS = [
  { deed: 'cancel', name: 'Cancel', suits: (job) => !isFinished(job) && !job.cancel_requested_at },
  { deed: 'retry', name: 'Try again', suits: (job) => ['failed', 'canceled'].includes(job.status) },
  { deed: 'reuse', name: 'Reuse', suits: isFinished },
  { deed: 'delete', name: 'Delete', suits: isFinished },
];

export class Card {
  element = document.createElement('li');
  /** @type {Job} */
  job;
  #link = document.createElement('a');
  #thumb = span('thumb linen');
  #title = span('title');
  #recipe = span('short-recipe');
  #state = span('');
  #presetOf;
  #deeds = document.createElement('div');
  #offered = '';
  #isSeen = false;
  #isBusy = false;
  /** What is shown, or on its way. */
  #shown = '';

  /**
   * @param {Job} job
   * @param {(job: Job) => import('./api.js').Preset | undefined} presetOf  asked at every update
   * @param {(deed: Deed, card: Card) => Promise<void>} onDeed
   */
  constructor(job, presetOf, onDeed) {
    this.job = job;
    this.#presetOf = presetOf;
    this.#link.href = `#job/${job.id}`;
    this.#thumb.ariaHidden = 'true'; // the caption says it all
    const caption = span('caption');
    caption.append(this.#title, this.#recipe, this.#state);
    this.#link.append(this.#thumb, caption);
    this.#deeds.className = 'deeds';
    this.#deeds.addEventListener('click', async ({ target }) => {
      if (!(target instanceof HTMLButtonElement) || this.#isBusy) return;
      this.#isBusy = true; // not `disabled`: that would take the keyboard's focus away
      await onDeed(/** @type {Deed} */ (target.value), this);
      this.#isBusy = false;
    });
    this.element.append(this.#link, this.#deeds);
    this.update(job);
  }

  /** @param {Job} job */
  update(job) {
    this.job = job;
    this.element.dataset.status = job.status;
    this.#title.textContent = jobTitle(job);
    this.#title.title = jobTitle(job);
    const told = inShort(recipe(job, this.#presetOf(job)));
    this.#recipe.textContent = told;
    this.#recipe.title = told;
    this.#state.textContent = stateAndTime(job);
    const shape = job.output ?? job.progress;
    if (shape) setAspect(this.element, shape.width_px, shape.height_px);
    this.element.style.setProperty('--done', String(job.progress?.fraction ?? 0));
    this.#offer(DEEDS.filter(({ suits }) => suits(job)));
    if (this.#shown === '') this.#thumb.textContent = job.status === 'succeeded' ? '' : STATUS_NAMES[job.status];
    this.#showPicture();
  }

  /** Whether it is on the easel. @param {boolean} isCurrent */
  setCurrent(isCurrent) {
    if (isCurrent) this.#link.setAttribute('aria-current', 'page');
    else this.#link.removeAttribute('aria-current');
  }

  /** Pictures are fetched when somebody sees the card. @param {boolean} isSeen */
  set isSeen(isSeen) {
    this.#isSeen = isSeen;
    this.#showPicture();
  }

  focus() {
    this.#link.focus();
  }

  /** Shows the buttons for what can be done now. @param {typeof DEEDS} deeds */
  #offer(deeds) {
    const names = deeds.map(({ deed }) => deed).join(' ');
    if (names === this.#offered) return;
    this.#offered = names;
    const hadFocus = this.#deeds.contains(document.activeElement);
    this.#deeds.replaceChildren(...deeds.map((deed) => this.#button(deed)));
    if (hadFocus) this.focus();
  }

  /** @param {typeof DEEDS[number]} deed */
  #button({ deed, name }) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'link';
    button.value = deed;
    button.textContent = name;
    button.setAttribute('aria-label', `${name}: ${jobTitle(this.job)}`);
    return button;
  }

  async #showPicture() {
    if (!this.#isSeen || document.hidden) return;
    const source = sourceOf(this.job);
    if (!source || source.name === this.#shown) return;
    const before = this.#shown;
    this.#shown = source.name;
    try {
      const image = await decoded(await source.fetch());
      if (this.#shown === source.name) this.#thumb.replaceChildren(image);
    } catch (problem) {
      if (this.#shown !== source.name) return;
      if (isTransient(problem)) this.#shown = before; // the next answer about the job has it tried again
      else if (!this.#thumb.querySelector('img')) this.#thumb.textContent = 'No preview';
    }
  }
}

/** @param {Blob} picture @returns {Promise<HTMLImageElement>} fails where the browser cannot show it */
async function decoded(picture) {
  const image = new Image();
  image.alt = '';
  image.src = URL.createObjectURL(picture);
  try {
    await image.decode();
    return image;
  } finally {
    URL.revokeObjectURL(image.src); // it is decoded, or never will be: nobody needs the address any more
  }
}

/**
 * The smallest picture that shows what a job has made: the newest preview, or the result if that is not
 * large or if there is no preview of the end.
 *
 * @param {Job} job
 * @returns {?{name: string, fetch: () => Promise<Blob>}}
 */
function sourceOf({ id, output, progress }) {
  const step = progress?.previews?.at(-1);
  const preview = step === undefined ? null : { name: `step ${step}`, fetch: () => getPreview(id, step) };
  if (!output || output.content_type === 'image/tiff') return preview;
  const isLarge = output.width_px * output.height_px > LARGE_PX;
  if (preview && (isLarge || step === progress?.total_steps)) return preview;
  return { name: 'result', fetch: () => getResult(id) };
}

/** @param {Job} job */
function stateAndTime(job) {
  const { status, progress, created_at, cancel_requested_at } = job;
  if (status === 'succeeded') return ago(created_at);
  if (isFinished(job)) return `${stateOf(job)}, ${ago(created_at)}`;
  const isPainted = status === 'running' && progress && !cancel_requested_at;
  return isPainted ? `${stateOf(job)}, ${percentOf(job)}` : stateOf(job);
}

/** @param {string} className */
function span(className) {
  const element = document.createElement('span');
  if (className) element.className = className;
  return element;
}
