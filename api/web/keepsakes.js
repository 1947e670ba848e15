/**
 * The pictures of the last jobs, kept in this browser: the service does not hand them out again, and they
 * make the comparison and 'Paint again' work after a reload. Where a browser refuses to keep anything
 * (private windows, a full disk), only those two are missing.
 */

const KEPT_JOBS = 12;

/** @param {string} id  of the job @param {import('./api.js').Inputs} inputs */
export async function keep(id, inputs) {
  try {
    const jobs = await openStore('readwrite');
    await settled(jobs.put({ id, at: Date.now(), ...inputs }));
    const kept = await settled(jobs.index('at').getAllKeys());
    for (const old of kept.slice(0, -KEPT_JOBS)) jobs.delete(old);
  } catch (error) {
    console.info('The pictures of this job are not kept in the browser:', error);
  }
}

/** @param {string} id  of the job @returns {Promise<?import('./api.js').Inputs>} */
export async function recall(id) {
  try {
    return (await settled((await openStore('readonly')).get(id))) ?? null;
  } catch {
    return null;
  }
}

/** @param {IDBTransactionMode} mode @returns {Promise<IDBObjectStore>} */
async function openStore(mode) {
  const opening = indexedDB.open('impasto', 1);
  opening.addEventListener('upgradeneeded', () => {
    opening.result.createObjectStore('jobs', { keyPath: 'id' }).createIndex('at', 'at');
  });
  const database = await settled(opening);
  const transaction = database.transaction('jobs', mode);
  transaction.addEventListener('complete', () => database.close());
  return transaction.objectStore('jobs');
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error));
  });
}
