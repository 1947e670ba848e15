/** Says at fields what is wrong with them. */

import { sentence } from './format.js';
import { uniqueId } from './unique.js';

/** @typedef {{pointer: string, detail: string}} FieldError  as the service names them: `params/size`, `style/0` */

export class FieldProblems {
  #blockOf;
  /** What was said, by the block in which it stands. @type {Map<HTMLElement, HTMLElement>} */
  #said = new Map();

  /** @param {(pointer: string) => ?HTMLElement} blockOf  where a field is, with its control */
  constructor(blockOf) {
    this.#blockOf = blockOf;
  }

  /** Blocks in which something is said. */
  get blocks() {
    return [...this.#said.keys()];
  }

  /**
   * Shows each error at its field, and nothing else any more.
   *
   * @param {FieldError[]} errors
   * @returns {{first: ?HTMLElement, homeless: FieldError[]}} where to go on, and the errors without a field here
   */
  show(errors) {
    this.clear();
    /** @type {Map<?HTMLElement, FieldError[]>} */
    const found = Map.groupBy(errors, ({ pointer }) => this.#blockOf(pointer));
    const homeless = found.get(null) ?? [];
    found.delete(null);
    const controls = [...found].map(([block, here]) =>
      this.tell(block, here.map(({ detail }) => sentence(detail)).join(' ')),
    );
    return { first: controls[0] ?? null, homeless };
  }

  /**
   * @param {HTMLElement} block
   * @param {string} text
   * @returns {HTMLElement} its control, or what is said where there is none
   */
  tell(block, text) {
    this.takeBack(block);
    const control = controlOf(block);
    const said = document.createElement('p');
    said.className = 'field-problem';
    said.setAttribute('role', 'alert');
    said.id = `problem-${uniqueId()}`;
    said.tabIndex = -1;
    said.textContent = text;
    block.append(said);
    block.closest('details')?.setAttribute('open', '');
    control?.setAttribute('aria-invalid', 'true');
    control?.setAttribute('aria-errormessage', said.id);
    this.#said.set(block, said);
    return control ?? said;
  }

  /** @param {HTMLElement} block */
  takeBack(block) {
    this.#said.get(block)?.remove();
    this.#said.delete(block);
    controlOf(block)?.removeAttribute('aria-invalid');
    controlOf(block)?.removeAttribute('aria-errormessage');
  }

  clear() {
    for (const block of this.blocks) this.takeBack(block);
  }
}

/** A number rather than the slider beside it. @param {HTMLElement} block @returns {?HTMLElement} */
export const controlOf = (block) =>
  block.querySelector('input:not([type=range]), select') ?? block.querySelector('input');
