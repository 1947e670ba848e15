/** What went wrong, and how the page says so. */

/** What the service's problem details say (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status  of HTTP; 0 when there was no answer at all
   * @param {string} message  a sentence for the person at the page
   * @param {{code?: string, errors?: {pointer: string, detail: string}[], retryAfterSeconds?: number}} [more]
   */
  constructor(status, message, { code = '', errors = [], retryAfterSeconds = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * @param {HTMLElement} element  an alert region
 * @param {?Error} problem  null clears it
 */
export function showProblem(element, problem) {
  element.replaceChildren();
  if (!problem) return;
  element.append(paragraph(problem.message));
  const errors = problem instanceof Problem ? problem.errors : [];
  const further = errors.filter(({ detail }) => !problem.message.includes(detail));
  for (const { pointer, detail } of further) element.append(paragraph(`${pointer}: ${detail}`));
}

/** @param {string} text */
function paragraph(text) {
  const element = document.createElement('p');
  element.textContent = text;
  return element;
}
