/** The frame in which a picture comes into being, over a faint underdrawing of its photograph. */

import { byId, part, setAspect } from './dom.js';

export class Easel {
  #frame = byId('easel', HTMLElement);
  #canvas = part(this.#frame, '.canvas', HTMLElement);
  #photograph = part(this.#frame, '.photograph', HTMLImageElement);
  #painting = part(this.#frame, '.painting', HTMLImageElement);
  #compare = part(this.#frame, '.compare', HTMLElement);
  #cut = part(this.#compare, 'input', HTMLInputElement);
  #compareToggle = byId('compare', HTMLElement);
  #zoomToggle = byId('zoom', HTMLElement);
  /** Of the finished picture, which previews are smaller than; px. */
  #width = 0;

  constructor() {
    this.#compareToggle.addEventListener('click', () => this.#setComparing(this.#compare.hidden));
    this.#cut.addEventListener('input', () => this.#moveCut());
    this.#zoomToggle.addEventListener('click', () => this.#setZoomed(!this.#isZoomed));
    // On what the dragging mouse is captured by.
    this.#canvas.addEventListener('dblclick', (event) => {
      if (!this.#zoomToggle.hidden && this.#compare.hidden) this.#setZoomed(!this.#isZoomed, event);
    });
    window.addEventListener('resize', () => this.#measure()); // also told when the visitor zooms the page
    letDrag(this.#canvas, () => this.#isZoomed && this.#compare.hidden);
  }

  clear() {
    for (const image of [this.#photograph, this.#painting]) {
      URL.revokeObjectURL(image.src);
      image.removeAttribute('src');
      image.hidden = true;
    }
    this.#setZoomed(false);
    this.#setComparing(false);
    this.#offer();
  }

  /** Gives the frame the shape of the picture. @param {number} width @param {number} height  px */
  setShape(width, height) {
    this.#width = width;
    setAspect(this.#frame, width, height);
    this.#measure();
  }

  /** A pixel of the picture is a pixel of the screen, however dense that is. */
  #measure() {
    this.#frame.style.setProperty('--actual', `${this.#width / window.devicePixelRatio}px`);
  }

  /** @param {Blob} picture @param {() => boolean} isWanted  asked when the picture is ready */
  async showPhotograph(picture, isWanted) {
    await show(this.#photograph, picture, isWanted);
    this.#offer();
  }

  /**
   * What was shown stays where the browser cannot show the picture.
   *
   * @param {Blob} picture
   * @param {string} name  what it is, in words
   * @param {() => boolean} isWanted  asked when the picture is ready
   * @returns {Promise<boolean>} whether it is shown
   */
  async showPainting(picture, name, isWanted) {
    const isShown = await show(this.#painting, picture, isWanted);
    if (isShown) this.#painting.alt = name;
    this.#offer();
    return isShown;
  }

  get #isZoomed() {
    return this.#frame.classList.contains('actual');
  }

  /** Offers what there is something for. */
  #offer() {
    this.#compareToggle.hidden = this.#photograph.hidden || this.#painting.hidden;
    this.#zoomToggle.hidden = this.#painting.hidden || this.#width === 0;
    if (this.#compareToggle.hidden) this.#setComparing(false);
  }

  /** @param {boolean} on */
  #setComparing(on) {
    this.#compare.hidden = !on;
    this.#frame.classList.toggle('comparing', on);
    this.#compareToggle.setAttribute('aria-pressed', String(on));
    this.#moveCut();
  }

  #moveCut() {
    this.#frame.style.setProperty('--cut', `${this.#cut.value}%`);
    this.#cut.setAttribute('aria-valuetext', `${this.#cut.value} % photograph`);
  }

  /** @param {boolean} on @param {MouseEvent} [event]  at the point that is to be in the middle */
  #setZoomed(on, event) {
    const { left, top, width, height } = this.#painting.getBoundingClientRect();
    const [x, y] = event ? [(event.clientX - left) / width, (event.clientY - top) / height] : [0.5, 0.5];
    this.#frame.classList.toggle('actual', on);
    this.#zoomToggle.setAttribute('aria-pressed', String(on));
    if (on) {
      this.#canvas.tabIndex = 0; // so that arrow keys move it
      this.#canvas.role = 'region';
      this.#canvas.ariaLabel = 'The picture in its actual size';
      const { scrollWidth, scrollHeight, clientWidth, clientHeight } = this.#canvas;
      this.#canvas.scrollTo(x * scrollWidth - clientWidth / 2, y * scrollHeight - clientHeight / 2);
    } else {
      for (const name of ['tabindex', 'role', 'aria-label']) this.#canvas.removeAttribute(name);
      this.#canvas.scrollTo(0, 0);
    }
  }
}

/** Lets a mouse push what scrolls; fingers can do it anyway. @param {HTMLElement} box @param {() => boolean} may */
function letDrag(box, may) {
  box.addEventListener('pointerdown', (event) => {
    if (event.pointerType !== 'mouse' || event.button !== 0 || !may()) return;
    event.preventDefault();
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener('pointermove', (event) => {
    if (box.hasPointerCapture(event.pointerId)) box.scrollBy(-event.movementX, -event.movementY);
  });
}

/**
 * Swaps the picture without a flash: it is decoded before it is shown.
 *
 * @param {HTMLImageElement} image
 * @param {Blob} picture
 * @param {() => boolean} isWanted
 */
async function show(image, picture, isWanted) {
  const next = new Image();
  next.src = URL.createObjectURL(picture);
  const isPicture = await next.decode().then(
    () => true,
    () => false, // TIFF: the browser cannot show it
  );
  if (!isPicture || !isWanted()) {
    URL.revokeObjectURL(next.src);
    return false;
  }
  URL.revokeObjectURL(image.src);
  image.src = next.src;
  image.hidden = false;
  return true;
}
