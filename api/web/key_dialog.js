/** The dialog in which the visitor enters an API key, or has it forgotten. */

import { byId, element, setText } from './dom.js';
import { forgetDrafts } from './draft.js';
import { sentence } from './format.js';
import { acceptedKey, askForKey, askForKeysWith, currentKey, forgetKey, useKey } from './keys.js';

const SHAPE = /^impasto_[0-9a-f]{16}_[\w-]{43}$/;
const NEEDED = 'This service asks for an API key.';
const MISSHAPEN = 'This is not a whole key, or has more in it than a key. Copy it again, from ‘impasto_’ to its end.';

export function wireKeys() {
  const dialog = byId('key-dialog', HTMLDialogElement);
  const field = byId('key', HTMLInputElement);
  const remember = byId('key-remember', HTMLInputElement);
  const button = element('key-button');
  const problem = element('key-problem');

  const entered = () => field.value.trim();

  /** Says what is wrong with the key that was entered. @param {string} text */
  function say(text) {
    setText(problem, text);
    field.ariaInvalid = text ? 'true' : null;
  }

  /** @param {string} reason @returns {Promise<boolean>} whether there is another key now */
  function ask(reason) {
    button.hidden = false;
    element('key-reason').textContent = currentKey() ? sentence(reason) : NEEDED;
    element('key-forget').hidden = currentKey() === null;
    field.value = '';
    say('');
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise((resolve) => {
      const closed = async () => {
        const key = entered();
        field.value = '';
        if (dialog.returnValue !== 'use') return resolve(false);
        const isAnother = acceptedKey() !== null && acceptedKey() !== key;
        if (isAnother) await forgetDrafts();
        useKey(key, { remember: remember.checked });
        if (isAnother) location.reload(); // no request goes on: the pictures in it may be somebody else's
        else resolve(true);
      };
      dialog.addEventListener('close', closed, { once: true });
    });
  }

  field.addEventListener('input', () => say(''));
  dialog.addEventListener('submit', (event) => {
    const { value } = /** @type {HTMLButtonElement} */ (event.submitter);
    if (value !== 'use' || SHAPE.test(entered())) return;
    event.preventDefault();
    say(entered() ? MISSHAPEN : 'Enter a key, or press ‘Not now’.');
    field.focus();
  });
  askForKeysWith(ask);
  button.hidden = currentKey() === null;
  button.addEventListener('click', async () => {
    const isFirst = acceptedKey() === null;
    if ((await askForKey('Another key shows other pictures.')) && isFirst) location.reload(); // what was refused comes
  });
  element('key-forget').addEventListener('click', async () => {
    forgetKey();
    await forgetDrafts();
    location.reload(); // so that nothing stays that the key had shown
  });
}
