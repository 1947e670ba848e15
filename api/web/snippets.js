/** A request as a command or a program, to be copied. Pure functions: no DOM, no network. */

/**
 * @typedef {object} Request
 * @property {string} url                        of the service
 * @property {?string} content                   names of files
 * @property {string[]} styles
 * @property {string[]} masks
 * @property {?string} init
 * @property {Record<string, any>} params
 * @property {Record<string, any>} metadata
 * @property {string} priority
 * @property {boolean} hasKey                    whether the service asks for one
 */

/** For a shell; the key comes from its environment. @param {Request} request */
export function curl({ url, content, styles, masks, init, params, metadata, priority, hasKey }) {
  const lines = [`curl --fail-with-body ${quoted(`${url}/v1/jobs`)}`];
  if (hasKey) lines.push('-H "Authorization: Bearer $IMPASTO_API_KEY"');
  const files = [
    ...(content ? [['content', content]] : []),
    ...styles.map((name) => ['style', name]),
    ...masks.map((name) => ['mask', name]),
    ...(init ? [['init', init]] : []),
  ];
  for (const [field, name] of files) lines.push(`-F ${quoted(`${field}=@${fileName(name)}`)}`);
  // As it stands: -F would take a semicolon in it for a type.
  lines.push(`--form-string ${quoted(`params=${JSON.stringify(params)}`)}`);
  if (Object.keys(metadata).length > 0)
    lines.push(`--form-string ${quoted(`metadata=${JSON.stringify(metadata)}`)}`);
  if (priority !== 'normal') lines.push(`--form-string priority=${priority}`);
  return `${lines.join(' \\\n  ')}\n`;
}

/** With the project's own client, which takes the key from the environment. @param {Request} request */
export function python({ url, content, styles, masks, init, params, metadata, priority }) {
  const args = [content ? literal(content) : 'None', literal(styles)];
  if (masks.length > 0) args.push(`masks=${literal(masks)}`);
  if (init) args.push(`init_image=${literal(init)}`);
  const { content_name: _, style_names: __, ...notes } = metadata; // the client adds the names itself
  if (Object.keys(notes).length > 0) args.push(`metadata=${literal(notes)}`);
  if (priority !== 'normal') args.push(`priority=Priority(${literal(priority)})`);
  for (const [name, value] of Object.entries(params)) args.push(`${name}=${literal(value)}`);
  const format = params.output?.format ?? 'png';
  const lines = ['from client import Impasto'];
  if (priority !== 'normal') lines.push('from shared.jobs import Priority');
  lines.push(
    '',
    `with Impasto(${literal(url)}) as impasto:  # the key is read from IMPASTO_API_KEY`,
    '    job = impasto.submit(',
    ...args.map((arg) => `        ${arg},`),
    '    )',
    '    for job in impasto.follow(job.id):',
    '        print(job.status, job.progress and job.progress.step)',
    `    impasto.save_result(job.id, ${literal(`painted.${format}`)})`,
  );
  return `${lines.join('\n')}\n`;
}

/** A word for a POSIX shell. @param {string} text */
const quoted = (text) => (/^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A file's name as curl reads it in a form. @param {string} name */
const fileName = (name) =>
  /^[\w.-]+$/.test(name) ? name : `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** A JSON value as Python writes it. @param {any} value @returns {string} */
function literal(value) {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'object')
    return `{${Object.entries(value).map(([key, item]) => `${literal(key)}: ${literal(item)}`).join(', ')}}`;
  return JSON.stringify(value); // strings and numbers are written alike
}
