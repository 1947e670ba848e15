/** The dialog in which somebody paints where a painting applies, with a mouse, a pen, a finger or the keyboard. */

import { confirm } from './confirm.js';
import { byId, part, setAspect } from './dom.js';
import { save } from './download.js';
import { bytes } from './format.js';
import { Mask, READY_MADE } from './mask.js';
import { cssColour, drawVeils } from './veils.js';

const MAX_UNDO = 30;
const VEIL = 0.62;
const FAINT = 0.28; // of the other paintings' masks
const LEAST_PRESSURE = 0.25; // of a pen, as a share of the brush's size
const KEY_STEP = 0.02; // of the long side, for each press of an arrow key

/**
 * @typedef {object} Subject
 * @property {string} name            of the painting
 * @property {string} fileName        of its mask, where somebody saves it
 * @property {number[]} colour        of its veil
 * @property {?Mask} mask             as it is so far
 * @property {?import('./pictures.js').Picture} photograph
 * @property {number} aspect          width over height of what is painted
 * @property {import('./veils.js').Veil[]} others  masks of the other paintings
 */

export class MaskDialog {
  #dialog = byId('mask-dialog', HTMLDialogElement);
  #stage = part(this.#dialog, '.mask-stage', HTMLElement);
  #photograph = part(this.#dialog, '.mask-photograph', HTMLImageElement);
  #veil = part(this.#dialog, '.mask-veil', HTMLCanvasElement);
  #others = part(this.#dialog, '.mask-others', HTMLCanvasElement);
  #ring = part(this.#dialog, '.mask-ring', HTMLElement);
  #size = byId('mask-size', HTMLInputElement);
  #softness = byId('mask-softness', HTMLInputElement);
  #undo = part(this.#dialog, '[value=undo]', HTMLButtonElement);
  #redo = part(this.#dialog, '[value=redo]', HTMLButtonElement);
  #status = byId('mask-status', HTMLElement);
  /** @type {Mask} */
  #mask;
  /** @type {Subject} */
  #subject;
  /** @type {Uint8ClampedArray} what it was when the dialog opened */
  #original;
  /** @type {Uint8ClampedArray[]} what it was before each change */
  #before = [];
  /** @type {Uint8ClampedArray[]} what it was before each change that was taken back */
  #after = [];
  /** @type {?{id: number, type: string}} the mouse, pen or finger that paints; the others wait for its end */
  #pointer = null;
  /** Where the brush is, while it paints. */
  #last = { x: 0, y: 0 };
  /** Where the keyboard's brush is. */
  #cursor = { x: 0, y: 0 };
  /** @type {(outcome: Mask | null | undefined) => void} */
  #settle = () => {};

  constructor() {
    for (const button of this.#dialog.querySelectorAll('button'))
      button.addEventListener('click', () => this.#act(button));
    this.#dialog.addEventListener('keydown', (event) => this.#onKey(event));
    this.#dialog.addEventListener('cancel', (event) => handled(event, () => this.#leave(undefined)));
    this.#dialog.addEventListener('close', () => this.#settle(undefined));
    this.#dialog.addEventListener('input', () => this.#moveRing());
    this.#stage.addEventListener('pointerdown', (event) => this.#onDown(event));
    this.#stage.addEventListener('pointermove', (event) => this.#onMove(event));
    // Comes after every end, also after one that the stage never hears of.
    this.#stage.addEventListener('lostpointercapture', ({ target, pointerId }) => {
      if (target === this.#stage && this.#pointer?.id === pointerId) this.#endStroke();
    });
    this.#stage.addEventListener('pointerleave', () => this.#ring.toggleAttribute('hidden', true));
    this.#stage.addEventListener('focus', () => this.#moveRing(this.#cursor));
    this.#stage.addEventListener('blur', () => this.#ring.toggleAttribute('hidden', true));
  }

  /**
   * Lets somebody paint.
   *
   * @param {Subject} subject
   * @returns {Promise<Mask | null | undefined>} null for no mask, undefined when it stays as it was
   */
  async paint(subject) {
    this.#subject = subject;
    const { width, height } = sizeOf(subject);
    const empty = Mask.of(width, height);
    // The photograph may be another one by now, of another shape.
    this.#mask = subject.mask ? subject.mask.resized(empty.width, empty.height).copy() : empty;
    this.#original = this.#mask.values.slice();
    this.#before = [];
    this.#after = [];
    this.#pointer = null;
    this.#cursor = { x: this.#mask.width / 2, y: this.#mask.height / 2 };
    part(this.#dialog, 'h2', HTMLElement).textContent = `Where ‘${subject.name}’ paints`;
    this.#dialog.style.setProperty('--veil', cssColour(subject.colour));
    setAspect(this.#dialog, this.#mask.width, this.#mask.height);
    this.#showPhotograph();
    for (const canvas of [this.#veil, this.#others])
      Object.assign(canvas, { width: this.#mask.width, height: this.#mask.height });
    drawVeils(this.#others, subject.others, FAINT);
    this.#changed();
    this.#dialog.showModal();
    window.addEventListener('beforeunload', this.#onUnload);
    try {
      return await new Promise((resolve) => (this.#settle = resolve));
    } finally {
      this.#settle = () => {};
      window.removeEventListener('beforeunload', this.#onUnload);
      this.#dialog.close();
      URL.revokeObjectURL(this.#photograph.src);
      this.#photograph.removeAttribute('src');
    }
  }

  /** @param {HTMLButtonElement} button */
  #act(button) {
    const ready = /** @type {keyof typeof READY_MADE | undefined} */ (button.dataset.ready);
    if (ready) return this.#change(() => this.#mask.become(ready));
    switch (button.value) {
      case 'use':
        // One that covers nothing would leave its painting out: nobody means that.
        return this.#settle(this.#mask.share === 0 ? null : this.#mask);
      case 'everywhere':
        return this.#leave(null);
      case 'cancel':
        return this.#leave(undefined);
      case 'undo':
        return this.#step(this.#before, this.#after);
      case 'redo':
        return this.#step(this.#after, this.#before);
      case 'invert':
        return this.#change(() => this.#mask.invert());
      case 'fill':
        return this.#change(() => this.#mask.fill(255));
      case 'clear':
        return this.#change(() => this.#mask.fill(0));
      case 'save':
        return this.#save();
    }
  }

  /** Closes without what was painted, if that is meant. @param {null | undefined} outcome */
  async #leave(outcome) {
    if (this.#pointer) this.#endStroke();
    const isMeant =
      !this.#isChanged ||
      (await confirm('Throw away what you have painted?', 'The mask has changes that are not used yet.', 'Throw it away'));
    if (isMeant) this.#settle(outcome);
  }

  /** Whether something would be lost. */
  get #isChanged() {
    return this.#mask.values.some((value, index) => value !== this.#original[index]);
  }

  /** The browser asks then. @param {Event} event */
  #onUnload = (event) => {
    if (this.#isChanged) event.preventDefault();
  };

  /** @param {() => void} change */
  #change(change) {
    this.#remember();
    change();
    this.#changed();
  }

  #remember() {
    this.#before.push(this.#mask.values.slice());
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.#after = [];
  }

  /** Takes a change back, or makes it again. @param {Uint8ClampedArray[]} from @param {Uint8ClampedArray[]} to */
  #step(from, to) {
    const values = from.pop();
    if (!values) return;
    to.push(this.#mask.values);
    this.#mask.restore(values);
    this.#changed();
  }

  /** Shows the mask, and says how much it covers. */
  #changed() {
    // Not `disabled`: that would take the keyboard's focus away.
    this.#undo.setAttribute('aria-disabled', String(this.#before.length === 0));
    this.#redo.setAttribute('aria-disabled', String(this.#after.length === 0));
    this.#draw();
    const share = this.#mask.share;
    this.#status.textContent =
      share === 0 ? 'Nothing is covered yet.' : `Covers ${Math.max(1, Math.round(100 * share))} % of the picture.`;
  }

  /** @param {import('./mask.js').Area} [area] */
  #draw(area) {
    const veil = this.#mask.veil(this.#subject.colour, VEIL, area);
    if (veil) this.#veil.getContext('2d').putImageData(veil, area?.left ?? 0, area?.top ?? 0);
  }

  #showPhotograph() {
    const { photograph } = this.#subject;
    this.#photograph.hidden = !photograph?.thumbnail;
    if (photograph?.thumbnail) this.#photograph.src = URL.createObjectURL(photograph.thumbnail);
  }

  /** @param {PointerEvent} event */
  #onDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    if (this.#pointer?.type === 'touch' && event.pointerType === 'pen') {
      // The hand came down before the pen that it holds: what it has painted was not meant.
      this.#step(this.#before, []);
      this.#pointer = null;
    }
    if (this.#pointer && this.#pointer.id !== event.pointerId) return;
    this.#pointer = { id: event.pointerId, type: event.pointerType };
    this.#stage.setPointerCapture(event.pointerId);
    this.#remember();
    this.#last = this.#place(event);
    this.#paintTo(this.#last, event);
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    if (this.#pointer && this.#pointer.id !== event.pointerId) return;
    this.#moveRing(this.#place(event), event.pointerType === 'pen' && this.#pointer ? event.pressure : 1);
    if (!this.#pointer) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length > 0 ? moves : [event]) this.#paintTo(this.#place(move), event);
  }

  #endStroke() {
    this.#pointer = null;
    this.#changed();
  }

  /** @param {import('./mask.js').Point} point @param {PointerEvent} event */
  #paintTo(point, event) {
    const pressure = event.pointerType === 'pen' ? Math.max(LEAST_PRESSURE, event.pressure) : 1;
    this.#draw(this.#mask.stroke(this.#last, point, this.#brush(pressure)));
    this.#last = point;
  }

  /** @param {number} pressure @returns {import('./mask.js').Brush} */
  #brush(pressure = 1) {
    return {
      radius: (pressure * this.#size.valueAsNumber * this.#longSide) / 200,
      softness: this.#softness.valueAsNumber / 100,
      erases: part(this.#dialog, '[value=erase]', HTMLInputElement).checked,
    };
  }

  get #longSide() {
    return Math.max(this.#mask.width, this.#mask.height);
  }

  /** @param {PointerEvent} event @returns {import('./mask.js').Point} */
  #place({ clientX, clientY }) {
    const box = this.#veil.getBoundingClientRect();
    return {
      x: ((clientX - box.left) / box.width) * this.#mask.width,
      y: ((clientY - box.top) / box.height) * this.#mask.height,
    };
  }

  /** Shows how large the brush is, and where. */
  #moveRing(point = this.#cursor, pressure = 1) {
    const { width, height } = this.#mask;
    this.#ring.hidden = false;
    this.#ring.style.left = `${(100 * point.x) / width}%`;
    this.#ring.style.top = `${(100 * point.y) / height}%`;
    this.#ring.style.width = `${(200 * this.#brush(pressure).radius) / width}%`;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key, ctrlKey, metaKey, shiftKey } = event;
    // Left to itself, a browser lets the dialog be kept open a few times only.
    if (key === 'Escape') return handled(event, () => this.#leave(undefined));
    if (ctrlKey || metaKey) {
      const letter = key.toLowerCase();
      if (letter === 'y' || (letter === 'z' && shiftKey)) handled(event, () => this.#step(this.#after, this.#before));
      else if (letter === 'z') handled(event, () => this.#step(this.#before, this.#after));
      return;
    }
    if (key === '[' || key === ']') {
      return handled(event, () => {
        this.#size.valueAsNumber += key === ']' ? 3 : -3;
        this.#moveRing();
      });
    }
    if (key.toLowerCase() === 'b') return handled(event, () => this.#take('brush'));
    if (key.toLowerCase() === 'e') return handled(event, () => this.#take('erase'));
    if (event.target !== this.#stage) return;
    if (key === ' ' || key === 'Enter')
      return handled(event, () => this.#change(() => this.#mask.stroke(this.#cursor, this.#cursor, this.#brush())));
    const [right, down] = ARROWS[key] ?? [0, 0];
    if (right || down) handled(event, () => this.#walk(right, down, shiftKey));
  }

  /** Moves the keyboard's brush; with the shift key it paints on its way. */
  #walk(right, down, paints) {
    const step = KEY_STEP * this.#longSide;
    const to = {
      x: Math.min(this.#mask.width, Math.max(0, this.#cursor.x + right * step)),
      y: Math.min(this.#mask.height, Math.max(0, this.#cursor.y + down * step)),
    };
    if (paints) this.#change(() => this.#mask.stroke(this.#cursor, to, this.#brush()));
    this.#cursor = to;
    this.#moveRing();
  }

  /** @param {'brush' | 'erase'} tool */
  #take(tool) {
    part(this.#dialog, `[name=mask-tool][value=${tool}]`, HTMLInputElement).checked = true;
  }

  async #save() {
    const file = await this.#mask.toFile(this.#subject.fileName);
    save(file, file.name);
    this.#status.textContent = `Saved as ${file.name}, ${bytes(file.size)}.`;
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {Event} event @param {() => void} answer */
function handled(event, answer) {
  event.preventDefault();
  answer();
}

/** @param {Subject} subject */
const sizeOf = ({ photograph, aspect }) =>
  photograph?.width ? photograph : { width: 1000 * Math.min(1, aspect), height: 1000 * Math.min(1, 1 / aspect) };
