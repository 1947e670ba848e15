/** The frame in which a picture comes into being, over a faint underdrawing of its photograph. */

import { setAspect } from './dropzone.js';

export class Easel {
  #frame = document.getElementById('easel');
  #photograph = this.#frame.querySelector('.photograph');
  #painting = this.#frame.querySelector('.painting');
  #compare = this.#frame.querySelector('.compare');
  #cut = this.#compare.querySelector('input');
  #toggle = document.getElementById('compare');

  constructor() {
    this.#toggle.addEventListener('click', () => this.#setComparing(this.#compare.hidden));
    this.#cut.addEventListener('input', () => this.#moveCut());
  }

  clear() {
    for (const image of [this.#photograph, this.#painting]) {
      URL.revokeObjectURL(image.src);
      image.removeAttribute('src');
      image.hidden = true;
    }
    this.#toggle.hidden = true;
    this.#setComparing(false);
  }

  /** Gives the frame the shape of the picture. */
  setShape(width, height) {
    setAspect(this.#frame, width, height);
  }

  /** @param {Blob} picture @param {() => boolean} isWanted  asked when the picture is ready */
  async showPhotograph(picture, isWanted) {
    await show(this.#photograph, picture, isWanted);
  }

  /** @param {Blob} picture @param {() => boolean} isWanted  asked when the picture is ready */
  async showPreview(picture, isWanted) {
    await show(this.#painting, picture, isWanted);
    this.#painting.alt = 'The picture so far';
  }

  /**
   * The last preview stays where the browser cannot show the picture.
   *
   * @param {Blob} picture
   * @param {() => boolean} isWanted  asked when the picture is ready
   */
  async showResult(picture, isWanted) {
    await show(this.#painting, picture, isWanted);
    this.#painting.alt = 'The finished picture';
    this.#toggle.hidden = this.#photograph.hidden;
  }

  #setComparing(on) {
    this.#compare.hidden = !on;
    this.#frame.classList.toggle('comparing', on);
    this.#toggle.setAttribute('aria-pressed', String(on));
    this.#moveCut();
  }

  #moveCut() {
    this.#frame.style.setProperty('--cut', `${this.#cut.value}%`);
  }
}

/** Swaps the picture without a flash: it is decoded before it is shown. */
async function show(image, picture, isWanted) {
  const next = new Image();
  next.src = URL.createObjectURL(picture);
  const isPicture = await next.decode().then(
    () => true,
    () => false, // TIFF: the browser cannot show it
  );
  if (!isPicture || !isWanted()) return URL.revokeObjectURL(next.src);
  URL.revokeObjectURL(image.src);
  image.src = next.src;
  image.hidden = false;
}
