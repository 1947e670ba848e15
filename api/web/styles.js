/** The paintings: how much of each, in which order, and where it paints. */

import { part } from './dom.js';
import { Dropzone } from './dropzone.js';
import { title } from './format.js';
import { Mask } from './mask.js';
import { MaskDialog } from './mask_dialog.js';
import { maskName } from './request.js';
import { colourOf, cssColour } from './veils.js';

const WEIGHT_DIGITS = 4;

/**
 * @typedef {import('./pictures.js').Picture} Picture
 *
 * @typedef {object} Painting
 * @property {number} weight   of the style, of any scale: what counts is its share of their sum
 * @property {?Mask} mask      null where it has none
 * @property {?Blob} maskFile  what the mask was read from, as long as nobody has painted on it
 */

export class Styles {
  #zone;
  /** @type {Map<Picture, Painting>} */
  #paintings = new Map();
  /** Whether an earlier job, whose settings are used again, named the weights. */
  #areNamed = false;
  /**
   * Whose slider was moved last, and what all weighed before that: at 100 % nobody could tell any more.
   *
   * @type {?{painting: Painting, before: Map<Painting, number>}}
   */
  #shared = null;
  #onChange;
  #getPhotograph;
  #dialog = new MaskDialog();
  #explanation;

  /**
   * @param {HTMLElement} element  a dropzone for several pictures
   * @param {object} wiring
   * @param {() => void} wiring.onChange
   * @param {() => ?Picture} wiring.getPhotograph  over which masks are painted
   */
  constructor(element, { onChange, getPhotograph }) {
    this.#explanation = part(element, '.masks-explained', HTMLElement);
    this.#onChange = onChange;
    this.#getPhotograph = getPhotograph;
    this.#zone = new Dropzone(element, () => this.#reconcile(), (picture) => this.#controls(picture));
  }

  /** Its place on the wall. */
  get zone() {
    return this.#zone;
  }

  /** The paintings' files, in their order. @returns {File[]} */
  get files() {
    return this.#zone.pictures.map(({ file }) => file);
  }

  /** Of `params.style_weights`; null where all count the same and nobody has said so. @returns {?number[]} */
  get weights() {
    const weights = this.#inOrder.map(({ weight }) => weight);
    const areEqual = weights.every((weight) => weight === weights[0]);
    return areEqual && !this.#areNamed ? null : weights;
  }

  get hasMasks() {
    return this.#inOrder.some(({ mask }) => mask !== null);
  }

  /** What `fill` takes. */
  get filled() {
    const paintings = this.#inOrder;
    return {
      pictures: this.#zone.pictures,
      weights: this.weights,
      masks: paintings.map(({ mask }) => mask),
      maskFiles: paintings.map(({ maskFile }) => maskFile),
    };
  }

  /** The masks with the colours of their veils. @returns {import('./veils.js').Veil[]} */
  get veils() {
    return this.#inOrder.flatMap(({ mask }, index) => (mask ? [{ mask, colour: colourOf(index) }] : []));
  }

  /**
   * None, or one for each painting: those without one of their own get what the others leave free.
   *
   * @returns {Promise<File[]>}
   */
  async maskFiles() {
    if (!this.hasMasks) return [];
    const { width, height } = this.#photographSize();
    const masks = this.#inOrder.flatMap(({ mask }) => mask ?? []);
    return Promise.all(
      this.#inOrder.map(async ({ mask, maskFile }, index) => {
        if (maskFile) return new File([maskFile], maskName(index), { type: maskFile.type });
        return (mask ?? Mask.rest(masks, width, height)).toFile(maskName(index));
      }),
    );
  }

  /**
   * Hangs the paintings of an earlier job, or of a draft.
   *
   * @param {Picture[]} pictures
   * @param {?number[]} weights
   * @param {(?Mask)[]} masks           one for each painting, or none at all
   * @param {(?Blob)[]} maskFiles       what they were read from
   */
  fill(pictures, weights, masks, maskFiles) {
    this.#areNamed = weights !== null;
    this.#paintings = new Map(
      pictures.map((picture, index) => [
        picture,
        { weight: weights?.[index] ?? 1, mask: masks[index] ?? null, maskFile: maskFiles[index] ?? null },
      ]),
    );
    this.#zone.set(pictures);
  }

  get #inOrder() {
    return this.#zone.pictures.map((picture) => this.#paintings.get(picture));
  }

  /** New pictures count as much as those that are there on average; where nothing counts any more, all do alike. */
  #reconcile() {
    const pictures = this.#zone.pictures;
    const known = pictures.flatMap((picture) => this.#paintings.get(picture) ?? []);
    const average = sumOf(known) / known.length || 1;
    if (sumOf(known) === 0) for (const painting of known) painting.weight = average;
    this.#paintings = new Map(
      pictures.map((picture) => [
        picture,
        this.#paintings.get(picture) ?? { weight: average, mask: null, maskFile: null },
      ]),
    );
    this.#shared = null;
    this.#show();
    this.#onChange();
  }

  /** What stands below a painting, besides its name. @param {Picture} picture @returns {Node[]} */
  #controls(picture) {
    const { name } = picture.file;
    const share = document.createElement('div');
    share.className = 'share';
    const slider = document.createElement('input');
    Object.assign(slider, { type: 'range', min: '0', max: '100', step: '1' });
    slider.setAttribute('aria-label', `Share of ${name}`);
    slider.addEventListener('input', () => this.#setShare(picture, slider.valueAsNumber / 100));
    share.append(slider, document.createElement('output'));

    const actions = document.createElement('div');
    actions.className = 'hung-actions';
    actions.append(
      smallButton('earlier', '←', `Move ${name} earlier`, () => this.#move(picture, -1, 'earlier')),
      smallButton('later', '→', `Move ${name} later`, () => this.#move(picture, 1, 'later')),
      smallButton('where', '', '', () => this.#paintMask(picture)),
    );
    return [share, actions];
  }

  /** Gives a painting its share of the whole; the others share the rest as they did before its slider moved. */
  #setShare(picture, share) {
    const painting = this.#paintings.get(picture);
    if (this.#shared?.painting !== painting)
      this.#shared = { painting, before: new Map(this.#inOrder.map((each) => [each, each.weight])) };
    const { before } = this.#shared;
    const others = this.#inOrder.filter((other) => other !== painting);
    const total = sumOf(this.#inOrder);
    const rest = others.reduce((sum, other) => sum + before.get(other), 0);
    for (const other of others)
      other.weight = rounded((rest > 0 ? before.get(other) / rest : 1 / others.length) * (1 - share) * total);
    painting.weight = rounded(share * total);
    this.#show();
    this.#onChange();
  }

  /** @param {Picture} picture @param {-1 | 1} by @param {string} button  keeps the focus */
  #move(picture, by, button) {
    const pictures = this.#zone.pictures;
    const from = pictures.indexOf(picture);
    pictures.splice(from, 1);
    pictures.splice(from + by, 0, picture);
    this.#zone.set(pictures);
    const actions = this.#zone.itemOf(picture).querySelector('.hung-actions');
    const again = actions.querySelector(`.${button}`);
    (again.disabled ? actions.querySelector('button:enabled') : again).focus();
  }

  /** @param {Picture} picture */
  async #paintMask(picture) {
    const painting = this.#paintings.get(picture);
    const index = this.#zone.pictures.indexOf(picture);
    const { width, height } = this.#photographSize();
    const outcome = await this.#dialog.paint({
      name: title(picture.file.name),
      fileName: maskName(index),
      colour: colourOf(index),
      mask: painting.mask,
      photograph: this.#getPhotograph(),
      aspect: width / height,
      others: this.veils.filter(({ mask }) => mask !== painting.mask),
    });
    if (outcome === undefined) return;
    painting.mask = outcome;
    painting.maskFile = null;
    this.#show();
    this.#onChange();
  }

  /** Of the photograph; of the first painting where there is none, as a texture has it. */
  #photographSize() {
    const shaped = [this.#getPhotograph(), ...this.#zone.pictures].find((picture) => picture?.width);
    return shaped ?? { width: 4, height: 3 };
  }

  #show() {
    const paintings = this.#inOrder;
    const total = sumOf(paintings);
    const hasMasks = this.hasMasks;
    const unmasked = paintings.filter(({ mask }) => mask === null).length;
    this.#zone.pictures.forEach((picture, index) => {
      const { weight, mask } = this.#paintings.get(picture);
      const item = this.#zone.itemOf(picture);
      const percent = Math.round((100 * weight) / (total || 1));
      const slider = item.querySelector('input[type=range]');
      slider.value = String(percent);
      slider.setAttribute('aria-valuetext', `${percent} % of the whole`);
      item.querySelector('output').textContent = `${percent} %`;
      item.querySelector('.earlier').disabled = index === 0;
      item.querySelector('.later').disabled = index === paintings.length - 1;
      const where = item.querySelector('.where');
      const place = placeOf(mask, hasMasks);
      where.textContent = place;
      where.setAttribute('aria-label', `Where ${picture.file.name} paints: ${place}`);
      where.classList.toggle('masked', mask !== null);
      item.style.setProperty('--veil', cssColour(colourOf(index)));
    });
    this.#explanation.hidden = !hasMasks;
    this.#explanation.textContent =
      unmasked === 0
        ? 'Where no painting is, the photograph stays as it is.'
        : 'A painting without a mask paints what the masks of the others leave free.';
  }
}

/** @param {?Mask} mask @param {boolean} othersHaveMasks */
function placeOf(mask, othersHaveMasks) {
  if (mask) return `On ${Math.max(1, Math.round(100 * mask.share))} %`;
  return othersHaveMasks ? 'The rest' : 'Everywhere';
}

/** @param {Painting[]} paintings */
const sumOf = (paintings) => paintings.reduce((sum, { weight }) => sum + weight, 0);

const rounded = (weight) => Number(weight.toPrecision(WEIGHT_DIGITS));

function smallButton(className, text, label, act) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = `small ${className}`;
  button.textContent = text;
  if (label) button.setAttribute('aria-label', label);
  button.addEventListener('click', act);
  return button;
}
