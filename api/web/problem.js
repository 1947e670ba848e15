/** Says on the page what went wrong. */

/**
 * @param {HTMLElement} element  an alert region
 * @param {?Error} problem  null clears it
 */
export function showProblem(element, problem) {
  element.replaceChildren();
  if (!problem) return;
  element.append(paragraph(problem.message));
  const further = (problem.errors ?? []).filter(({ detail }) => !problem.message.includes(detail));
  for (const { pointer, detail } of further) element.append(paragraph(`${pointer}: ${detail}`));
}

/** @param {string} text */
function paragraph(text) {
  const element = document.createElement('p');
  element.textContent = text;
  return element;
}
