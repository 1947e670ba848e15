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
 * Says it once: what stands there already is not told again.
 *
 * @param {HTMLElement} element  an alert region
 * @param {?Error} problem  null clears it
 */
export function showProblem(element, problem) {
  const sentences = problem ? sentencesOf(problem) : [];
  if (element.textContent !== sentences.join('')) element.replaceChildren(...sentences.map(paragraph));
}

/** @param {Error} problem @returns {string[]} */
function sentencesOf(problem) {
  const errors = problem instanceof Problem ? problem.errors : [];
  const further = errors.filter(({ detail }) => !problem.message.includes(detail));
  return [problem.message, ...further.map(({ pointer, detail }) => `${pointer}: ${detail}`)];
}

/** @param {string} text */
function paragraph(text) {
  const element = document.createElement('p');
  element.textContent = text;
  return element;
}
