/** The dialog in which somebody paints where a painting applies, with a mouse, a pen, a finger or the keyboard. */

import { byId, part } from './dom.js';
import { Mask, READY_MADE } from './mask.js';
import { bytes, setAspect } from './pictures.js';

const MAX_UNDO = 30;
const VEIL = 0.62;
const FAINT = 0.28; // of the other paintings' masks
const LEAST_PRESSURE = 0.25; // of a pen, as a share of the brush's size
const KEY_STEP = 0.02; // of the long side, for each press of an arrow key

/**
 * @typedef {object} Subject
 * @property {string} name            of the painting
 * @property {number[]} colour        of its veil
 * @property {?Mask} mask             as it is so far
 * @property {?import('./pictures.js').Picture} photograph
 * @property {number} aspect          width over height of what is painted
 * @property {{mask: Mask, colour: number[]}[]} others  masks of the other paintings
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
  #status = byId('mask-status', HTMLElement);
  /** @type {Mask} */
  #mask;
  /** @type {Subject} */
  #subject;
  /** @type {Uint8ClampedArray[]} what it was before each change */
  #before = [];
  /** @type {?{x: number, y: number}} where the brush is, while it paints */
  #last = null;
  /** Where the keyboard's brush is. */
  #cursor = { x: 0, y: 0 };
  /** @type {(outcome: Mask | null | undefined) => void} */
  #settle = () => {};

  constructor() {
    for (const button of this.#dialog.querySelectorAll('button'))
      button.addEventListener('click', () => this.#act(button));
    this.#dialog.addEventListener('keydown', (event) => this.#onKey(event));
    this.#dialog.addEventListener('close', () => this.#settle(undefined));
    this.#dialog.addEventListener('input', () => this.#moveRing());
    this.#stage.addEventListener('pointerdown', (event) => this.#onDown(event));
    this.#stage.addEventListener('pointermove', (event) => this.#onMove(event));
    for (const end of ['pointerup', 'pointercancel'])
      this.#stage.addEventListener(end, () => this.#lift());
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
    this.#before = [];
    this.#cursor = { x: this.#mask.width / 2, y: this.#mask.height / 2 };
    part(this.#dialog, 'h2', HTMLElement).textContent = `Where ‘${subject.name}’ paints`;
    this.#dialog.style.setProperty('--veil', `rgb(${subject.colour.join(' ')})`);
    setAspect(this.#dialog, this.#mask.width, this.#mask.height);
    this.#showPhotograph();
    for (const canvas of [this.#veil, this.#others])
      Object.assign(canvas, { width: this.#mask.width, height: this.#mask.height });
    this.#showOthers();
    this.#changed();
    this.#dialog.showModal();
    try {
      return await new Promise((resolve) => (this.#settle = resolve));
    } finally {
      this.#settle = () => {};
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
        return this.#settle(null);
      case 'cancel':
        return this.#settle(undefined);
      case 'undo':
        return this.#takeBack();
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

  /** @param {() => void} change */
  #change(change) {
    this.#remember();
    change();
    this.#changed();
  }

  #remember() {
    this.#before.push(this.#mask.values.slice());
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.#undo.disabled = false;
  }

  #takeBack() {
    const values = this.#before.pop();
    if (!values) return;
    this.#mask.values = values;
    this.#changed();
  }

  /** Shows the mask, and says how much it covers. */
  #changed() {
    this.#undo.disabled = this.#before.length === 0;
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

  #showOthers() {
    const context = this.#others.getContext('2d');
    const { width, height } = this.#mask;
    context.clearRect(0, 0, width, height);
    for (const { mask, colour } of this.#subject.others) {
      const veil = mask.resized(width, height).veil(colour, FAINT);
      const layer = new OffscreenCanvas(width, height);
      layer.getContext('2d').putImageData(veil, 0, 0);
      context.drawImage(layer, 0, 0);
    }
  }

  /** @param {PointerEvent} event */
  #onDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#stage.setPointerCapture(event.pointerId);
    this.#remember();
    this.#last = this.#place(event);
    this.#paintTo(this.#last, event);
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    this.#moveRing(this.#place(event), event.pointerType === 'pen' && this.#last ? event.pressure : 1);
    if (!this.#last) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length > 0 ? moves : [event]) this.#paintTo(this.#place(move), event);
  }

  #lift() {
    if (!this.#last) return;
    this.#last = null;
    this.#changed();
  }

  /** @param {import('./mask.js').Point} point @param {PointerEvent} event */
  #paintTo(point, event) {
    const pressure = event.pointerType === 'pen' ? Math.max(LEAST_PRESSURE, event.pressure) : 1;
    this.#draw(this.#mask.stroke(this.#last ?? point, point, this.#brush(pressure)));
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
    const { key, ctrlKey, metaKey } = event;
    if ((ctrlKey || metaKey) && key.toLowerCase() === 'z') return handled(event, () => this.#takeBack());
    if (ctrlKey || metaKey) return;
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
    if (right || down) handled(event, () => this.#walk(right, down, event.shiftKey));
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
    const file = await this.#mask.toFile(`mask-${this.#subject.name}.png`);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(file);
    link.download = file.name;
    link.click();
    URL.revokeObjectURL(link.href);
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
