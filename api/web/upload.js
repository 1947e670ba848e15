/** Sending much, and saying how far that is: `fetch` does not tell. */

/**
 * As `fetch`, with a listener.
 *
 * @param {string} url
 * @param {RequestInit} options
 * @param {(fraction: number) => void} onUpload  between 0 and 1
 * @returns {Promise<Response>}
 */
export function upload(url, { method = 'POST', headers, body, signal }, onUpload) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of new Headers(headers)) request.setRequestHeader(name, value);
    request.responseType = 'blob';
    request.upload.addEventListener('progress', ({ loaded, total }) => onUpload(total ? loaded / total : 0));
    request.addEventListener('load', () => resolve(responseOf(request)));
    request.addEventListener('error', () => reject(new TypeError('no answer')));
    request.addEventListener('abort', () => reject(signal?.reason));
    signal?.addEventListener('abort', () => request.abort());
    if (signal?.aborted) reject(signal.reason);
    else request.send(/** @type {FormData} */ (body));
  });
}

/** @param {XMLHttpRequest} request */
function responseOf(request) {
  const lines = request.getAllResponseHeaders().trim().split('\r\n');
  const headers = lines.map((line) => /** @type {[string, string]} */ (line.split(/: (.*)/, 2)));
  return new Response(request.response, { status: request.status, headers });
}
