/** Asks before something that cannot be undone. */

import { byId, element, part } from './dom.js';

/**
 * @param {string} question
 * @param {string} consequence
 * @param {string} deed  what the button says that does it
 * @returns {Promise<boolean>} whether the visitor means it
 */
export function confirm(question, consequence, deed) {
  const dialog = byId('confirm', HTMLDialogElement);
  element('confirm-question').textContent = question;
  element('confirm-consequence').textContent = consequence;
  part(dialog, 'button[value=yes]', HTMLElement).textContent = deed;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
