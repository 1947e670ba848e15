/** One job among others: what it looks like, how far it is, what can be done with it. */

import { getPreview, getResult } from './api.js';
import { setAspect } from './pictures.js';
import { isFinished } from './follow.js';
import { ago, jobTitle, queuePlace, STATUS_NAMES } from './format.js';

const LARGE_PX = 1_500_000; // of a result that is not fetched for a thumbnail if there is a preview

/**
 * @typedef {import('./api.js').Job} Job
 *
 * @typedef {'cancel' | 'retry' | 'reuse' | 'delete'} Deed
 */

/** @type {{deed: Deed, name: string, suits: (job: Job) => boolean}[]} */
const DEEDS = [
  { deed: 'cancel', name: 'Cancel', suits: (job) => !isFinished(job) },
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
  #state = span('');
  #deeds = document.createElement('div');
  #isSeen = false;
  #isBusy = false;
  /** What is shown, or on its way. */
  #shown = '';

  /** @param {Job} job @param {(deed: Deed, card: Card) => Promise<void>} onDeed */
  constructor(job, onDeed) {
    this.job = job;
    this.#link.href = `#job/${job.id}`;
    this.#thumb.ariaHidden = 'true'; // the caption says it all
    const caption = span('caption');
    caption.append(this.#title, this.#state);
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
    const isNews = this.element.dataset.status !== job.status;
    this.job = job;
    this.element.dataset.status = job.status;
    this.#title.textContent = jobTitle(job);
    this.#title.title = jobTitle(job);
    this.#state.textContent = stateOf(job);
    const shape = job.output ?? job.progress;
    if (shape) setAspect(this.element, shape.width_px, shape.height_px);
    this.element.style.setProperty('--done', String(job.progress?.fraction ?? 0));
    const hadFocus = this.#deeds.contains(document.activeElement);
    if (isNews) this.#deeds.replaceChildren(...DEEDS.filter(({ suits }) => suits(job)).map((deed) => this.#button(deed)));
    if (isNews && hadFocus) this.focus();
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

  /** @param {typeof DEEDS[number]} deed */
  #button({ deed, name }) {
    const button = document.createElement('button');
    button.type = 'button';
    button.value = deed;
    button.textContent = name;
    button.setAttribute('aria-label', `${name}: ${jobTitle(this.job)}`);
    return button;
  }

  async #showPicture() {
    if (!this.#isSeen || document.hidden) return;
    const source = sourceOf(this.job);
    if (!source || source.name === this.#shown) return;
    this.#shown = source.name;
    const picture = await source.fetch().catch(() => null);
    const isShown = picture !== null && (await this.#hang(picture, source.name));
    if (!isShown && this.#shown === source.name && !this.#thumb.querySelector('img'))
      this.#thumb.textContent = 'No preview';
  }

  /** @param {Blob} picture @param {string} name @returns {Promise<boolean>} whether it can be shown */
  async #hang(picture, name) {
    const image = new Image();
    image.alt = '';
    image.src = URL.createObjectURL(picture);
    const isPicture = await image.decode().then(
      () => true,
      () => false,
    );
    URL.revokeObjectURL(image.src); // it is decoded: the card needs the address no more
    if (isPicture && this.#shown === name) this.#thumb.replaceChildren(image);
    return isPicture;
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
function stateOf({ status, progress, queue_position, created_at, cancel_requested_at }) {
  if (status === 'queued') return queuePlace(queue_position);
  if (status === 'running' && cancel_requested_at) return 'Stopping';
  if (status === 'running') return progress ? `Being painted, ${Math.floor(100 * progress.fraction)} %` : 'Being painted';
  return status === 'succeeded' ? ago(created_at) : `${STATUS_NAMES[status]}, ${ago(created_at)}`;
}

/** @param {string} className */
function span(className) {
  const element = document.createElement('span');
  if (className) element.className = className;
  return element;
}
