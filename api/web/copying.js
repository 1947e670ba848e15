/** Buttons that copy a request as a command or as a program. */

import { copyText } from './clipboard.js';
import { part } from './dom.js';
import { curl, python } from './snippets.js';

const COPIED_SECONDS = 3;
const SNIPPETS = { curl, python };

/**
 * @param {HTMLElement} line  with a button for each kind, whose value it is, and a status region
 * @param {() => import('./snippets.js').Request | Promise<import('./snippets.js').Request>} getRequest
 */
export function wireCopying(line, getRequest) {
  const said = part(line, '[role=status]', HTMLElement);
  let timer = 0;
  for (const button of line.querySelectorAll('button[value]'))
    button.addEventListener('click', async () => {
      const kind = /** @type {keyof typeof SNIPPETS} */ (/** @type {HTMLButtonElement} */ (button).value);
      try {
        await copyText(SNIPPETS[kind](await getRequest()));
        said.textContent = 'Copied.';
      } catch {
        said.textContent = 'It could not be copied.';
      }
      clearTimeout(timer);
      timer = setTimeout(() => (said.textContent = ''), 1000 * COPIED_SECONDS);
    });
}
