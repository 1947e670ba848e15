/** What happened to a job, in words. */

import { clock, duration } from './format.js';

/** @typedef {import('./api.js').HistoryEntry} Entry */

/** Each event's sentence; `detail` is what the service adds. @type {Record<string, (detail: string) => string>} */
const SENTENCES = {
  created: () => 'Handed in',
  claimed: () => 'A worker took it up',
  resumed: (detail) => `Goes on from ${detail}`,
  lost: () => 'Its worker was lost',
  released: () => 'Its worker gave it back: it waits for another',
  canceling: () => 'Somebody asked to stop',
  restored: () => 'Found again in the archive',
  succeeded: () => 'Finished',
  failed: () => 'Given up',
  canceled: () => 'Canceled',
};

/** @param {Entry} entry @param {number} index @param {Entry[]} history */
function sentence({ event, detail }, index, history) {
  const isAgain = event === 'claimed' && history.slice(0, index).some((earlier) => earlier.event === 'claimed');
  if (isAgain) return 'Another worker took it up';
  return SENTENCES[event]?.(detail) ?? `${event} ${detail}`.trim();
}

/** Fills the list. @param {HTMLElement} list @param {Entry[]} history */
export function tell(list, history) {
  const told = [...list.querySelectorAll('time')].map(({ dateTime }) => dateTime);
  if (told.join() === history.map(({ at }) => at).join()) return; // so that who reads is not disturbed
  list.replaceChildren(
    ...history.map((entry, index) => {
      const item = document.createElement('li');
      const time = document.createElement('time');
      time.dateTime = entry.at;
      time.textContent = clock(entry.at);
      const words = document.createElement('span');
      words.textContent = sentence(entry, index, history);
      item.append(time, words);
      return item;
    }),
  );
}

/**
 * What somebody who waits should know of: that a worker was lost, and where another goes on.
 *
 * @param {import('./api.js').Job} job
 * @returns {string} empty when all goes well
 */
export function incident({ status, history, attempt }) {
  const last = history.at(-1)?.event;
  if (status === 'queued' && last === 'released') return 'Its worker had to stop. Another one goes on with it.';
  if (status !== 'running') return '';
  const resumed = history.findLast(({ event }) => event === 'resumed');
  const claimed = history.findLastIndex(({ event }) => event === 'claimed');
  const isLost = history[claimed - 1]?.event === 'lost';
  const isReleased = history[claimed - 1]?.event === 'released';
  if (!isLost && !isReleased) return '';
  const from = resumed && history.indexOf(resumed) > claimed ? `from ${resumed.detail}` : 'from the beginning';
  const what = isLost ? `A worker was lost. Another one goes on ${from}` : `Another worker goes on ${from}`;
  return attempt > 1 && isLost ? `${what} (attempt ${attempt}).` : `${what}.`;
}

/** How long a job waited and was painted. @param {import('./api.js').Job} job */
export function times({ metrics: { queue_seconds: waited, run_seconds: ran } }) {
  const parts = [];
  if (waited !== null && waited >= 1) parts.push(`Waited ${duration(waited)}`);
  if (ran !== null) parts.push(`Painted for ${duration(ran)}`);
  return parts.join(', ').replace(', P', ', p');
}
