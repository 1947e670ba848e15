/** How a picture came about: its previews in their order, to be scrubbed and played. */

import { part } from './dom.js';
import { sleep } from './patience.js';

const FRAMES_PER_SECOND = 6;

/**
 * A moment of the picture; the last may be the finished picture itself.
 *
 * @typedef {{step: number, isResult: boolean}} Moment
 */

export class Timeline {
  #element;
  #range;
  #play;
  #name;
  #newest;
  /** @type {Moment[]} */
  #moments = [];
  /** Steps of which there is no picture any more. @type {Set<number>} */
  #dropped = new Set();
  #shown = 0;
  /** Whether the newest is shown whenever there is a newer one. */
  #sticks = true;
  /** @type {?AbortController} while it plays */
  #run = null;
  #onShow;

  /**
   * @param {HTMLElement} element  with a range, a button to play, and an output
   * @param {HTMLElement} newest  the button that goes to the newest
   * @param {(moment: Moment, isNewest: boolean) => Promise<void>} onShow  resolves when it is seen, or cannot be
   */
  constructor(element, newest, onShow) {
    this.#element = element;
    this.#onShow = onShow;
    this.#range = part(element, 'input', HTMLInputElement);
    this.#name = part(element, 'output', HTMLOutputElement);
    this.#play = part(element, '.play', HTMLButtonElement);
    this.#newest = newest;
    this.#range.addEventListener('input', () => {
      this.#stop();
      this.#goTo(this.#range.valueAsNumber);
    });
    this.#newest.addEventListener('click', () => {
      this.#stop();
      this.#goTo(this.#moments.length - 1);
      this.#range.focus();
    });
    this.#play.addEventListener('click', () => (this.#run ? this.#stop() : this.#start()));
  }

  clear() {
    this.#stop();
    this.#moments = [];
    this.#dropped.clear();
    this.#shown = 0;
    this.#sticks = true;
    this.#element.hidden = true;
    this.#newest.hidden = true;
  }

  /**
   * Takes the moments that there are now; the one that is looked at stays, also when it is none of them.
   *
   * @param {Moment[]} all
   */
  set(all) {
    const news = all.filter(({ step, isResult }) => isResult || !this.#dropped.has(step));
    const before = this.#moments[this.#shown];
    const newest = this.#moments.at(-1);
    const moments = before && !this.#sticks ? withMoment(news, before) : news;
    this.#moments = moments;
    this.#element.hidden = moments.length < 2;
    this.#range.max = String(Math.max(moments.length - 1, 0));
    if (moments.length === 0) return;
    const isNews = !isSame(newest, moments.at(-1));
    if (this.#sticks && isNews && !this.#run) this.#goTo(moments.length - 1);
    else if (before) this.#settle(nearest(moments, before.step));
  }

  /** Shows the moment that is closest to a step. @param {number} step */
  seek(step) {
    this.#stop();
    if (this.#moments.length > 0) this.#goTo(nearest(this.#moments, step));
  }

  /**
   * Leaves out a preview that is not there any more; who looks at it sees the one beside it.
   *
   * @param {Moment} moment
   */
  drop(moment) {
    const at = this.#moments.findIndex((other) => isSame(other, moment));
    if (at < 0 || this.#moments.length === 1) return;
    this.#dropped.add(moment.step);
    const isLookedAt = at === this.#shown;
    const seen = this.#moments[this.#shown];
    this.#moments = this.#moments.toSpliced(at, 1);
    this.#range.max = String(this.#moments.length - 1);
    const next = nearest(this.#moments, seen.step);
    if (isLookedAt) this.#goTo(next);
    else this.#settle(next);
  }

  toggle() {
    if (!this.#element.hidden) this.#play.click();
  }

  /** @param {number} index */
  #goTo(index) {
    this.#settle(index);
    this.#sticks = index === this.#moments.length - 1;
    this.#newest.hidden = this.#sticks;
    return this.#onShow(this.#moments[index], this.#sticks);
  }

  /** @param {number} index */
  #settle(index) {
    this.#shown = index;
    const { step, isResult } = this.#moments[index];
    const name = isResult ? 'Finished' : `Step ${step}`;
    this.#range.value = String(index);
    this.#range.setAttribute('aria-valuetext', name);
    this.#name.textContent = name;
  }

  /** Plays from here, or from the beginning, until the end or until somebody stops it. */
  async #start() {
    const run = new AbortController();
    this.#setRun(run);
    let index = this.#shown < this.#moments.length - 1 ? this.#shown : 0;
    while (!run.signal.aborted && index < this.#moments.length) {
      await Promise.all([this.#goTo(index), sleep(1 / FRAMES_PER_SECOND, run.signal)]);
      index = this.#shown + 1; // the moments may have become fewer meanwhile
    }
    if (!run.signal.aborted) this.#setRun(null);
  }

  #stop() {
    this.#run?.abort();
    this.#setRun(null);
  }

  /** @param {?AbortController} run  what ends it */
  #setRun(run) {
    this.#run = run;
    this.#play.setAttribute('aria-label', run ? 'Pause' : 'Play how it was painted');
    this.#play.classList.toggle('playing', run !== null);
  }
}

/** @param {Moment | undefined} one @param {Moment | undefined} other */
const isSame = (one, other) => one?.step === other?.step && one?.isResult === other?.isResult;

/** @param {Moment[]} moments @param {Moment} moment @returns {Moment[]} in the order of their steps */
function withMoment(moments, moment) {
  if (moments.some((other) => isSame(other, moment))) return moments;
  const at = moments.findIndex(({ step }) => step > moment.step);
  return moments.toSpliced(at < 0 ? moments.length : at, 0, moment);
}

/** @param {Moment[]} moments @param {number} step @returns {number} index */
function nearest(moments, step) {
  let best = 0;
  moments.forEach((moment, index) => {
    if (Math.abs(moment.step - step) < Math.abs(moments[best].step - step)) best = index;
  });
  return best;
}
