/** Says at a control of the form what is wrong with it. A control is found by the pointers that its block bears. */

import { byId } from './dom.js';

const form = byId('compose', HTMLFormElement);

/**
 * Shows each error at its field.
 *
 * @param {{pointer: string, detail: string}[]} errors  as the service names them: `params/size`, `style/0`
 * @returns {{first: ?HTMLElement, homeless: {pointer: string, detail: string}[]}} the first control that is
 *   wrong, and the errors whose field is not on the panel
 */
export function showErrors(errors) {
  clearErrors();
  const homeless = [];
  let first = null;
  for (const error of errors) {
    const block = blockOf(error.pointer);
    if (!block) {
      homeless.push(error);
      continue;
    }
    block.closest('details')?.setAttribute('open', '');
    first ??= tell(block, error.detail);
  }
  return { first, homeless };
}

/** Takes back what was said. */
export function clearErrors() {
  for (const control of form.querySelectorAll('[aria-invalid]')) {
    control.removeAttribute('aria-invalid');
    control.removeAttribute('aria-errormessage');
  }
  for (const sentence of form.querySelectorAll('.panel .field-problem:not(.well *)')) sentence.remove();
  for (const sentence of form.querySelectorAll('.well .field-problem')) sentence.textContent = '';
}

/** The block of the nearest field: `style/0` is told where styles are. @param {string} pointer */
function blockOf(pointer) {
  const path = pointer.split('/');
  for (let length = path.length; length > 0; length--) {
    const name = CSS.escape(path.slice(0, length).join('/'));
    const block = /** @type {?HTMLElement} */ (form.querySelector(`[data-pointer~="${name}"]`));
    if (block && !block.hidden) return block;
  }
  return null;
}

/** @param {HTMLElement} block @param {string} detail @returns {?HTMLElement} its control */
function tell(block, detail) {
  const control = /** @type {?HTMLElement} */ (block.querySelector('input, select'));
  const sentence = block.querySelector('.field-problem') ?? block.appendChild(document.createElement('p'));
  sentence.className = 'field-problem';
  sentence.id ||= `problem-${block.dataset.pointer.split(' ')[0].replaceAll('/', '-')}`;
  sentence.textContent = sentenceOf(detail);
  control?.setAttribute('aria-invalid', 'true');
  control?.setAttribute('aria-errormessage', sentence.id);
  return control;
}

/** @param {string} detail */
function sentenceOf(detail) {
  const sentence = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
