/** A place on the wall for pictures that somebody chooses, drops or pastes. */

/** Pictures among the files of a drop or a paste. @param {DataTransfer} transfer @returns {File[]} */
export const picturesOf = (transfer) =>
  [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));

export class Dropzone {
  /** @type {File[]} */
  #files = [];
  #element;
  #pictures;
  #input;
  #onChange;

  /**
   * @param {HTMLElement} element  with a list, a file input and its label (see index.html)
   * @param {() => void} onChange  called when the pictures have changed
   */
  constructor(element, onChange) {
    this.#element = element;
    this.#pictures = element.querySelector('.well-pictures');
    this.#input = element.querySelector('input[type=file]');
    this.#onChange = onChange;

    this.#input.addEventListener('change', () => {
      this.add([...this.#input.files]);
      this.#input.value = ''; // so that the same file can be chosen again after its removal
    });
    element.addEventListener('dragenter', () => this.#element.classList.add('dragging'));
    element.addEventListener('dragleave', (event) => {
      if (!element.contains(event.relatedTarget)) this.#element.classList.remove('dragging');
    });
    element.addEventListener('drop', (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.#element.classList.remove('dragging');
      this.add([...event.dataTransfer.files]);
    });
  }

  /** The chosen files, unchanged, in their order. */
  get files() {
    return [...this.#files];
  }

  /** Takes further pictures; a zone for one picture replaces what it had. @param {File[]} files */
  add(files) {
    if (files.length === 0) return;
    this.set(this.#input.multiple ? [...this.#files, ...files] : files.slice(0, 1));
  }

  /** @param {File[]} files */
  set(files) {
    this.#files = files;
    for (const image of this.#pictures.querySelectorAll('img')) URL.revokeObjectURL(image.src);
    this.#pictures.replaceChildren(...files.map((file) => this.#hang(file)));
    this.#element.classList.toggle('filled', files.length > 0);
    this.#element.classList.toggle('several', files.length > 1);
    this.#onChange();
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
    this.#input.focus();
  }

  /** @param {File} file */
  #hang(file) {
    const item = document.createElement('li');
    item.className = 'frame';
    const image = document.createElement('img');
    image.alt = file.name;
    image.addEventListener('load', () => setAspect(item, image.naturalWidth, image.naturalHeight));
    // TIFF and broken files: the browser cannot show them, the service decides whether it reads them.
    image.addEventListener('error', () => item.classList.add('unseen'));
    image.src = URL.createObjectURL(file);

    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'remove';
    remove.setAttribute('aria-label', `Remove ${file.name}`);
    remove.addEventListener('click', () => {
      this.set(this.#files.filter((other) => other !== file));
      this.focus();
    });

    item.append(image, remove);
    return item;
  }
}

/** Gives a frame the shape of its picture. @param {HTMLElement} frame */
export const setAspect = (frame, width, height) =>
  frame.style.setProperty('--aspect', String(width / height));
