/** Finds elements of the page by what they are, so that a misspelt name is told where it stands. */

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
