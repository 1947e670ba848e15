/** Masks as coloured veils over a picture, told apart in light and in dark, on any photograph. */

const COLOURS = [
  [214, 72, 42],
  [38, 110, 190],
  [40, 140, 90],
  [150, 70, 170],
  [205, 140, 20],
  [20, 150, 160],
  [200, 60, 120],
  [105, 105, 110],
];
const OPACITY = 0.45;

/** @typedef {{mask: import('./mask.js').Mask, colour: number[]}} Veil */

/** Red, green, blue of a painting's veil. @param {number} index  of the painting */
export const colourOf = (index) => COLOURS[index % COLOURS.length];

/** @param {number[]} colour */
export const cssColour = (colour) => `rgb(${colour.join(' ')})`;

/** Draws them anew, as large as the canvas is. @param {HTMLCanvasElement} canvas @param {Veil[]} veils @param {number} opacity */
export function drawVeils(canvas, veils, opacity) {
  const { width, height } = canvas;
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, width, height);
  for (const { mask, colour } of veils) {
    const layer = new OffscreenCanvas(width, height);
    layer.getContext('2d').putImageData(mask.resized(width, height).veil(colour, opacity), 0, 0);
    context.drawImage(layer, 0, 0);
  }
}

/** Those that hang over the photograph on the wall. */
export class Veils {
  #canvas = document.createElement('canvas');
  /** @type {Veil[]} */
  #drawn = [];

  constructor() {
    this.#canvas.className = 'veils';
  }

  /**
   * Draws only what is not there yet: masks have a million pixels, and the form tells of every change.
   *
   * @param {Veil[]} veils
   * @param {?Element} frame  of the photograph
   */
  show(veils, frame) {
    if (frame && this.#canvas.parentNode !== frame) frame.append(this.#canvas);
    this.#canvas.hidden = veils.length === 0;
    if (this.#areDrawn(veils)) return;
    this.#drawn = veils;
    if (veils.length === 0) return;
    const { width, height } = veils[0].mask;
    Object.assign(this.#canvas, { width, height });
    drawVeils(this.#canvas, veils, OPACITY);
  }

  /** @param {Veil[]} veils */
  #areDrawn(veils) {
    const drawn = this.#drawn;
    return veils.length === drawn.length && veils.every(({ mask, colour }, index) => mask === drawn[index].mask && colour === drawn[index].colour);
  }
}
