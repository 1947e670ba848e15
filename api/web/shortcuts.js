/** Keys of the keyboard for those who keep the page open all day. The dialog that `?` opens lists them. */

import { byId } from './dom.js';
import { keep, recall } from './storage.js';

const NAME = 'impasto.shortcuts';
const TYPING = 'input:not([type=range], [type=radio], [type=checkbox]), textarea, select, [contenteditable]';

/**
 * @param {Record<string, () => void>} deeds  by the key that does them
 */
export function wireShortcuts(deeds) {
  const dialog = byId('help', HTMLDialogElement);
  const button = byId('help-button', HTMLElement);
  const isOn = byId('shortcuts-on', HTMLInputElement);
  /** @type {Record<string, () => void>} */
  const all = { ...deeds, '?': () => dialog.showModal() };

  // Single keys get into the way of those who speak to their computer: they can be switched off.
  isOn.checked = recall(NAME) !== 'off';
  isOn.addEventListener('change', () => keep(NAME, isOn.checked ? 'on' : 'off'));
  button.addEventListener('click', () => dialog.showModal());
  document.addEventListener('keydown', (event) => {
    const isChord = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
    if (isChord || isTyping(event) || !isOn.checked || document.querySelector('dialog[open]')) return;
    const deed = all[event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  });
}

/** Whether it happens where somebody writes. @param {Event} event */
export const isTyping = ({ target }) => target instanceof Element && target.matches(TYPING);
