/** Finds elements of the page by what they are, so that a misspelt name is told where it stands, and changes them. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{new (): T}} kind
 * @returns {T}
 */
export const byId = (id, kind) => part(document, `#${CSS.escape(id)}`, kind);

/**
 * @template {HTMLElement} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {{new (): T}} kind
 * @returns {T}
 */
export function part(root, selector, kind) {
  const found = root.querySelector(selector);
  if (found instanceof kind) return found;
  throw new Error(`Expected a ${kind.name} at ${selector}.`);
}

/** @param {string} id */
export const element = (id) => byId(id, HTMLElement);

/**
 * A live region speaks whenever its text is set, so it is set only when it changes.
 *
 * @param {HTMLElement} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Gives a frame the shape of its picture. @param {HTMLElement} frame @param {number} width @param {number} height */
export const setAspect = (frame, width, height) => frame.style.setProperty('--aspect', String(width / height));
