/**
 * A mask: where a painting applies, from 0 (not there) to 255 (fully), for every pixel of a grid of the
 * photograph's shape. The service stretches it to the picture, so that the grid need not be as fine.
 *
 * Only numbers, and their way to a PNG and back: the dialog in which it is painted is `mask_dialog.js`.
 */

const MAX_SIDE_PX = 1024;
const FULL = 255;

/** Half a picture, a band through it, an ellipse: masks that need no brush. */
export const READY_MADE = {
  left: (x) => edge(0.5 - x),
  right: (x) => edge(x - 0.5),
  top: (_, y) => edge(0.5 - y),
  bottom: (_, y) => edge(y - 0.5),
  centre: (x, y) => edge(0.38 - Math.hypot(x - 0.5, y - 0.5)),
};

/**
 * @typedef {{x: number, y: number}} Point  in pixels of the mask
 * @typedef {{left: number, top: number, right: number, bottom: number}} Area  right and bottom excluded
 * @typedef {{radius: number, softness: number, erases: boolean}} Brush  softness: share of the radius that fades
 */

export class Mask {
  /** @type {?number} until the values change */
  #share = null;

  /** @param {number} width @param {number} height @param {Uint8ClampedArray} [values] */
  constructor(width, height, values = new Uint8ClampedArray(width * height)) {
    this.width = width;
    this.height = height;
    this.values = values;
  }

  /** An empty one for a picture of this shape. @param {number} width @param {number} height */
  static of(width, height) {
    const scale = Math.min(1, MAX_SIDE_PX / Math.max(width, height));
    return new Mask(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  }

  /** @param {Blob} file  a picture: its lightness counts @returns {Promise<Mask>} */
  static async from(file) {
    const bitmap = await createImageBitmap(file);
    const mask = Mask.of(bitmap.width, bitmap.height);
    const context = contextOf(mask);
    context.drawImage(bitmap, 0, 0, mask.width, mask.height);
    const { data } = context.getImageData(0, 0, mask.width, mask.height);
    // Rec. 709, as the service has it.
    for (let index = 0; index < mask.values.length; index++) {
      const at = 4 * index;
      mask.values[index] = 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
    }
    return mask;
  }

  /** What `masks` leave free; all of the picture without any. @param {Mask[]} masks */
  static rest(masks, width, height) {
    const rest = Mask.of(width, height);
    rest.fill(FULL);
    for (const mask of masks) {
      const other = mask.resized(rest.width, rest.height);
      for (let index = 0; index < rest.values.length; index++)
        rest.values[index] -= Math.min(rest.values[index], other.values[index]);
    }
    return rest;
  }

  /** Share of the picture that it covers, from 0 to 1. */
  get share() {
    this.#share ??= this.values.reduce((sum, value) => sum + value, 0) / (FULL * this.values.length);
    return this.#share;
  }

  copy() {
    return new Mask(this.width, this.height, this.values.slice());
  }

  /** Stretched, by the nearest pixel. @param {number} width @param {number} height */
  resized(width, height) {
    if (width === this.width && height === this.height) return this;
    const values = new Uint8ClampedArray(width * height);
    for (let y = 0; y < height; y++) {
      const row = Math.floor(((y + 0.5) * this.height) / height) * this.width;
      for (let x = 0; x < width; x++)
        values[y * width + x] = this.values[row + Math.floor(((x + 0.5) * this.width) / width)];
    }
    return new Mask(width, height, values);
  }

  /** @param {Uint8ClampedArray} values  of an earlier moment */
  restore(values) {
    this.#share = null;
    this.values = values;
  }

  /** @param {number} value  0 to 255 */
  fill(value) {
    this.#share = null;
    this.values.fill(value);
  }

  invert() {
    this.#share = null;
    for (let index = 0; index < this.values.length; index++) this.values[index] = FULL - this.values[index];
  }

  /** @param {keyof typeof READY_MADE} name */
  become(name) {
    this.#share = null;
    for (let y = 0; y < this.height; y++)
      for (let x = 0; x < this.width; x++)
        this.values[y * this.width + x] =
          FULL * READY_MADE[name]((x + 0.5) / this.width, (y + 0.5) / this.height);
  }

  /**
   * Draws a straight piece of a stroke. What is covered already stays: going over the soft border of a
   * stroke again does not harden it.
   *
   * @param {Point} from @param {Point} to @param {Brush} brush
   * @returns {Area} what may have changed
   */
  stroke(from, to, { radius, softness, erases }) {
    this.#share = null;
    const reach = radius + 1;
    const area = {
      left: Math.max(0, Math.floor(Math.min(from.x, to.x) - reach)),
      top: Math.max(0, Math.floor(Math.min(from.y, to.y) - reach)),
      right: Math.min(this.width, Math.ceil(Math.max(from.x, to.x) + reach)),
      bottom: Math.min(this.height, Math.ceil(Math.max(from.y, to.y) + reach)),
    };
    const [along, up] = [to.x - from.x, to.y - from.y];
    const length = along * along + up * up;
    const fade = Math.max(1, radius * softness); // at least one pixel, so that borders are smooth
    for (let y = area.top; y < area.bottom; y++) {
      for (let x = area.left; x < area.right; x++) {
        const [right, down] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const at = length === 0 ? 0 : clamp((right * along + down * up) / length);
        const distance = Math.hypot(right - at * along, down - at * up);
        const cover = FULL * smooth(clamp((radius + 0.5 - distance) / fade));
        const index = y * this.width + x;
        if (erases) this.values[index] = Math.min(this.values[index], FULL - cover);
        else this.values[index] = Math.max(this.values[index], cover);
      }
    }
    return area;
  }

  /** As a coloured veil over the photograph. @param {number[]} colour  red, green, blue @param {number} opacity */
  veil([red, green, blue], opacity, area = { left: 0, top: 0, right: this.width, bottom: this.height }) {
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    if (width <= 0 || height <= 0) return null;
    const image = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = 4 * (y * width + x);
        const value = this.values[(y + area.top) * this.width + x + area.left];
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = value * opacity;
      }
    }
    return image;
  }

  /** White where it applies, black elsewhere. @param {string} name @returns {Promise<File>} */
  async toFile(name) {
    const context = contextOf(this);
    const image = new ImageData(this.width, this.height);
    for (let index = 0; index < this.values.length; index++)
      image.data.set([this.values[index], this.values[index], this.values[index], FULL], 4 * index);
    context.putImageData(image, 0, 0);
    const blob = await context.canvas.convertToBlob({ type: 'image/png' });
    return new File([blob], name, { type: 'image/png' });
  }
}

/** @param {{width: number, height: number}} size */
const contextOf = ({ width, height }) =>
  new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });

const clamp = (share) => Math.min(1, Math.max(0, share));

const smooth = (share) => share * share * (3 - 2 * share);

/** A border about a hundredth of the picture wide; how soft it gets is up to `mask_feather`. */
const edge = (distance) => smooth(clamp(0.5 + distance / 0.01));
