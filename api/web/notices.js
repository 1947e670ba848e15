/** Telling of a job that has ended while the visitor was looking elsewhere. */

import { jobTitle, STATUS_NAMES } from './format.js';
import { markTab } from './tab.js';

/**
 * @param {HTMLElement} button  with which the visitor allows it
 * @param {HTMLElement} neighbour  gets its focus when it is of no use any more
 */
export function wireNotices(button, neighbour) {
  button.hidden = !isToBeAsked();
  button.addEventListener('click', async () => {
    await Notification.requestPermission();
    if (isToBeAsked()) return;
    const hadFocus = document.activeElement === button;
    button.hidden = true;
    if (hadFocus) neighbour.focus();
  });
}

/** Whether the visitor has not decided yet, and the browser lets a page tell anything by itself. */
function isToBeAsked() {
  if (!('Notification' in window) || Notification.permission !== 'default') return false;
  return notice('') !== null; // nobody sees it yet
}

/**
 * @param {string} title
 * @param {NotificationOptions} [options]
 * @returns {?Notification} null where only a service worker may show it: Chrome on Android
 */
function notice(title, options) {
  try {
    return new Notification(title, options);
  } catch {
    return null;
  }
}

/** @param {import('./api.js').Job} job  that has just ended */
export function tellOfEnd(job) {
  if (!document.hidden) return;
  markTab(`${job.status === 'succeeded' ? '✓' : '✕'} ${jobTitle(job)}`);
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  const told = notice(jobTitle(job), { body: STATUS_NAMES[job.status], icon: '/web/icons/mark.svg', tag: job.id });
  told?.addEventListener('click', () => {
    window.focus();
    location.hash = `#job/${job.id}`;
    told.close();
  });
}
