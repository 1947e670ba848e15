/** Telling of a job that has ended while the visitor was looking elsewhere. */

import { jobTitle, STATUS_NAMES } from './format.js';

/** @param {HTMLElement} button  with which the visitor allows it */
export function wireNotices(button) {
  const offer = () => (button.hidden = !('Notification' in window) || Notification.permission !== 'default');
  offer();
  button.addEventListener('click', async () => {
    await Notification.requestPermission();
    offer();
  });
}

/** @param {import('./api.js').Job} job  that has just ended */
export function tellOfEnd(job) {
  if (!document.hidden) return;
  const before = document.title;
  document.title = `${job.status === 'succeeded' ? '✓' : '✕'} ${jobTitle(job)}`;
  const seen = () => {
    if (document.hidden) return;
    document.removeEventListener('visibilitychange', seen);
    document.title = before.replace(/^(\d+ %|✓|✕) /, '');
  };
  document.addEventListener('visibilitychange', seen);
  if (!('Notification' in window) || Notification.permission !== 'granted') return;
  const notice = new Notification(jobTitle(job), { body: STATUS_NAMES[job.status], icon: '/web/icons/mark.svg', tag: job.id });
  notice.addEventListener('click', () => {
    window.focus();
    location.hash = `#job/${job.id}`;
    notice.close();
  });
}
