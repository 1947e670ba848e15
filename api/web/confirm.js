/** Asks before something that cannot be undone. */

/**
 * @param {string} question
 * @param {string} consequence
 * @param {string} deed  what the button says that does it
 * @returns {Promise<boolean>} whether the visitor means it
 */
export function confirm(question, consequence, deed) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('confirm'));
  /** @param {string} selector */
  const part = (selector) => /** @type {HTMLElement} */ (dialog.querySelector(selector));
  part('h2').textContent = question;
  part('p').textContent = consequence;
  part('button[value=yes]').textContent = deed;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
