/** A place on the wall for pictures that somebody chooses, drops or pastes. */

import { part, setAspect } from './dom.js';
import { title } from './format.js';
import { measures, picturesOf, readPicture } from './pictures.js';

/** @typedef {import('./pictures.js').Picture} Picture */

export class Dropzone {
  /** @type {Picture[]} */
  #pictures = [];
  /** @type {Map<Picture, HTMLElement>} kept, so that what has the focus is not made anew */
  #items = new Map();
  #element;
  #list;
  #input;
  #problem;
  #onChange;
  #label;
  /** @type {Promise<void>} the files of before are taken before those of now */
  #reading = Promise.resolve();

  /** What files are dragged over, anywhere on the page. @type {?EventTarget} */
  #draggedOver = null;

  /** What the service takes. @type {import('./pictures.js').Limits} */
  limits = {};

  /**
   * @param {HTMLElement} element  with a list, a file input and its label (see index.html)
   * @param {() => void} onChange  called when the pictures have changed
   * @param {(picture: Picture) => Node[]} [label]  what stands below a picture, besides its name
   */
  constructor(element, onChange, label = () => []) {
    this.#element = element;
    this.#list = part(element, '.well-pictures', HTMLElement);
    this.#input = part(element, 'input[type=file]', HTMLInputElement);
    this.#problem = part(element, '.field-problem', HTMLElement);
    this.#onChange = onChange;
    this.#label = label;

    this.#input.addEventListener('change', () => {
      this.add([...this.#input.files]);
      this.#input.value = ''; // so that the same file can be chosen again after its removal
    });
    for (const kind of /** @type {const} */ (['dragenter', 'dragleave', 'drop']))
      window.addEventListener(kind, (event) => this.#onDrag(event), { capture: true });
    element.addEventListener('drop', (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.add(picturesOf(event.dataTransfer));
    });
  }

  /** What was chosen, in its order. @returns {Picture[]} */
  get pictures() {
    return [...this.#pictures];
  }

  /** Settles when the files that were given have been looked at. */
  get ready() {
    return this.#reading;
  }

  get isEmpty() {
    return this.#pictures.length === 0;
  }

  /**
   * Takes further pictures; a zone for one picture replaces what it had. What is no picture is told.
   *
   * @param {File[] | Promise<File[]>} files
   * @returns {Promise<void>} when they have been looked at
   */
  add(files) {
    this.#reading = this.#reading.then(async () => {
      this.#element.setAttribute('aria-busy', 'true');
      this.tell('');
      try {
        await this.#read(await files);
      } catch (error) {
        this.tell(error.message);
      } finally {
        this.#element.removeAttribute('aria-busy');
      }
    });
    return this.#reading;
  }

  /** @param {Picture[]} pictures  in their new order */
  set(pictures) {
    for (const [picture, item] of this.#items) {
      if (pictures.includes(picture)) continue;
      URL.revokeObjectURL(part(item, 'img', HTMLImageElement).src);
      this.#items.delete(picture);
    }
    for (const picture of pictures)
      if (!this.#items.has(picture)) this.#items.set(picture, this.#hang(picture));
    this.tell('');
    this.#pictures = pictures;
    this.#list.replaceChildren(...pictures.map((picture) => this.#items.get(picture)));
    this.#element.classList.toggle('filled', pictures.length > 0);
    this.#element.classList.toggle('several', pictures.length > 1);
    this.#onChange();
  }

  /** @param {Picture} picture @returns {?HTMLElement} */
  itemOf(picture) {
    return this.#items.get(picture) ?? null;
  }

  /** A sentence about the pictures; an empty one takes it back. @param {string} sentence */
  tell(sentence) {
    this.#problem.textContent = sentence;
  }

  /** Whether the pictures are of use now; they stay, and may be changed, either way. */
  get isUsed() {
    return !this.#element.classList.contains('unused');
  }

  set isUsed(used) {
    this.#element.classList.toggle('unused', !used);
    this.#onChange();
  }

  focus() {
    this.#element.closest('details')?.setAttribute('open', '');
    this.#input.focus();
  }

  /** Files enter an element before they leave the other, which may be gone by then. @param {DragEvent} event */
  #onDrag({ type, target }) {
    if (type === 'dragenter') this.#draggedOver = target;
    else if (type === 'drop' || target === this.#draggedOver) this.#draggedOver = null;
    this.#element.classList.toggle('dragging', this.#element.contains(/** @type {?Node} */ (this.#draggedOver)));
  }

  /** One after the other, since each is decoded as a whole. @param {File[]} files */
  async #read(files) {
    const wanted = this.#input.multiple ? files : files.slice(0, 1);
    const problems = files.length > 0 ? [] : ['There is no picture in it.'];
    const { max_styles: most = Infinity } = this.limits;
    for (const file of wanted) {
      if (this.#input.multiple && this.#pictures.length >= most) {
        problems.push(`At most ${most} paintings are taken.`);
        break;
      }
      try {
        const picture = await readPicture(file, this.limits);
        this.set(this.#input.multiple ? [...this.#pictures, picture] : [picture]);
      } catch (error) {
        problems.push(error.message);
      }
    }
    this.tell(problems.join(' '));
  }

  /** @param {Picture} picture */
  #hang(picture) {
    const { file, width, height, thumbnail } = picture;
    const item = document.createElement('li');
    item.className = 'hung';
    const frame = document.createElement('div');
    frame.className = 'frame';
    frame.classList.toggle('unseen', !thumbnail);
    if (width) setAspect(frame, width, height);
    const image = document.createElement('img');
    image.alt = file.name;
    if (thumbnail) image.src = URL.createObjectURL(thumbnail);

    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'remove';
    remove.setAttribute('aria-label', `Remove ${file.name}`);
    remove.addEventListener('click', () => {
      this.set(this.#pictures.filter((other) => other !== picture));
      this.focus();
    });

    const label = document.createElement('div');
    label.className = 'hung-label';
    const name = document.createElement('p');
    name.className = 'hung-name';
    name.textContent = title(file.name);
    const size = document.createElement('p');
    size.className = 'hung-size';
    size.textContent = measures(picture);
    label.append(name, size, ...this.#label(picture));

    frame.append(image, remove);
    item.append(frame, label);
    return item;
  }
}
