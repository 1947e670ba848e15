/** The last jobs, hung side by side. */

import { listJobs, resultUrl } from './api.js';
import { setAspect } from './dropzone.js';
import { isFinished } from './follow.js';
import { ago, jobTitle, STATUS_NAMES } from './format.js';

const SHOWN_JOBS = 12;
const BUSY_SECONDS = 3;
const IDLE_SECONDS = 15;

export class Gallery {
  /** @type {Map<string, HTMLElement>} cards by job id, kept so that pictures are not loaded twice */
  #cards = new Map();
  #list = document.getElementById('gallery');
  #empty = document.getElementById('gallery-empty');
  #timer = 0;
  /** @type {?string} id of the job on the easel */
  #current = null;

  /** Reads the list, and keeps reading it: more often while something is being painted. */
  async refresh() {
    clearTimeout(this.#timer);
    let seconds = IDLE_SECONDS;
    try {
      const jobs = await listJobs(SHOWN_JOBS);
      this.#hang(jobs);
      if (!jobs.every(isFinished)) seconds = BUSY_SECONDS;
    } catch {
      // What hangs stays; the line about the workers says that the service is away.
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), 1000 * seconds);
  }

  /** Brings one card up to date without asking again. @param {import('./api.js').Job} job */
  update(job) {
    const card = this.#cards.get(job.id);
    if (card) fill(card, job);
  }

  /** Marks the card of the job that is on the easel. @param {?string} id */
  setCurrent(id) {
    this.#current = id;
    for (const [cardId, card] of this.#cards)
      card.querySelector('a').setAttribute('aria-current', cardId === id ? 'page' : 'false');
  }

  /** @param {import('./api.js').Job[]} jobs */
  #hang(jobs) {
    const cards = jobs.map((job) => [job.id, fill(this.#cards.get(job.id) ?? newCard(job.id), job)]);
    this.#cards = new Map(cards);
    this.#list.replaceChildren(...this.#cards.values());
    this.#empty.hidden = jobs.length > 0;
    this.setCurrent(this.#current);
  }
}

/** @param {string} id */
function newCard(id) {
  const card = document.createElement('li');
  const link = document.createElement('a');
  link.href = `#job/${id}`;
  const picture = document.createElement('span');
  picture.className = 'thumb linen';
  const caption = document.createElement('span');
  caption.className = 'caption';
  caption.append(document.createElement('span'), document.createElement('span'));
  link.append(picture, caption);
  card.append(link);
  return card;
}

/** @param {HTMLElement} card @param {import('./api.js').Job} job */
function fill(card, job) {
  const [name, age] = card.querySelectorAll('.caption span');
  name.textContent = jobTitle(job);
  age.textContent = ago(job.created_at);

  const isNews = card.dataset.status !== job.status;
  card.dataset.status = job.status;
  if (job.status !== 'succeeded') card.querySelector('.thumb').textContent = stateOf(job);
  else if (isNews) hangPicture(card, job);
  return card;
}

/** @param {HTMLElement} card @param {import('./api.js').Job} job  with its output */
function hangPicture(card, { id, output }) {
  const image = document.createElement('img');
  image.loading = 'lazy';
  image.alt = '';
  // TIFF: the browser cannot show it.
  image.addEventListener('error', () => image.replaceWith('No preview'));
  image.src = resultUrl(id);
  card.querySelector('.thumb').replaceChildren(image);
  setAspect(card, output.width_px, output.height_px);
}

/** @param {import('./api.js').Job} job */
function stateOf({ status, progress }) {
  const percent = status === 'running' && progress ? `, ${Math.floor(100 * progress.fraction)} %` : '';
  return STATUS_NAMES[status] + percent;
}
