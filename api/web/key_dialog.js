/** The dialog in which the visitor enters an API key, or has it forgotten. */

import { byId } from './dom.js';
import { askForKeysWith, currentKey, forgetKey, useKey } from './keys.js';

const NEEDED = 'This service asks for an API key.';

/**
 * @param {() => void} onKey  the visitor has entered a key that no request was waiting for
 */
export function wireKeys(onKey) {
  const dialog = byId('key-dialog', HTMLDialogElement);
  const field = byId('key', HTMLInputElement);
  const remember = byId('key-remember', HTMLInputElement);
  const button = byId('key-button', HTMLElement);

  /** @param {string} reason @returns {Promise<boolean>} whether there is another key now */
  function ask(reason) {
    button.hidden = false;
    byId('key-reason', HTMLElement).textContent = currentKey() ? sentence(reason) : NEEDED;
    byId('key-forget', HTMLElement).hidden = currentKey() === null;
    field.value = '';
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise((resolve) => {
      const closed = () => {
        const key = field.value.trim();
        field.value = '';
        const isEntered = dialog.returnValue === 'use' && key !== '';
        if (isEntered) useKey(key, { remember: remember.checked });
        resolve(isEntered);
      };
      dialog.addEventListener('close', closed, { once: true });
    });
  }

  askForKeysWith(ask);
  button.hidden = currentKey() === null;
  button.addEventListener('click', async () => {
    if (await ask('Another key shows other pictures.')) onKey();
  });
  byId('key-forget', HTMLElement).addEventListener('click', () => {
    forgetKey();
    location.reload(); // so that nothing stays that the key had shown
  });
}

/** @param {string} text */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
