/**
 * Which positions are shown, and in which order. Used by the browser page and by the uni-app project.
 *
 * - a row is followed where its `flwsig` is true, else it is the trader's own (test: flwsig alone decides);
 * - rows keep the order in which they came, within followed and own (test: rows keep their order);
 * - a signal id that is none, 0 or less chooses nothing away (test: no signal id, id 0);
 * - what is no row is left out, and nothing that a server pushes makes this throw (test: rubbish in a push).
 */

/**
 * One position as the server pushes it; more fields may be there.
 *
 * @typedef {{ flwsig?: unknown, sigtraderid?: unknown, [field: string]: unknown }} Row
 */

/**
 * Normal mode: followed rows first, then own ones; with a signal id only the followed rows of that signal.
 *
 * @param {unknown} rows what a push holds as `data`
 * @param {unknown} [signal] a signal trader's id, as number or as text
 * @returns {Row[]}
 */
export function arrange(rows, signal) {
  const { arr1, arr2 } = split(rows, signal);
  return idOf(signal) > 0 ? arr1 : [...arr1, ...arr2];
}

/**
 * Split mode: followed rows, of that signal alone where its id is above 0, and own ones.
 *
 * @param {unknown} rows
 * @param {unknown} [signal]
 * @returns {{ arr1: Row[], arr2: Row[] }}
 */
export function split(rows, signal) {
  const all = Array.isArray(rows) ? rows.filter(isRow) : [];
  const id = idOf(signal);
  return {
    arr1: all.filter((row) => row.flwsig === true && !(id > 0 && idOf(row.sigtraderid) !== id)),
    arr2: all.filter((row) => row.flwsig !== true),
  };
}

/**
 * The signal traders whose positions are among the rows, each once, lowest first: what there is to choose from.
 *
 * @param {unknown} rows
 * @returns {number[]}
 */
export function signalsOf(rows) {
  const ids = split(rows).arr1.map((row) => idOf(row.sigtraderid)).filter((id) => id > 0);
  return [...new Set(ids)].sort((a, b) => a - b);
}

/**
 * @param {unknown} value
 * @returns {value is Row}
 */
function isRow(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * An id as a number; 0 where there is none. Pages get theirs as text, from addresses and from selects.
 *
 * @param {unknown} value
 * @returns {number}
 */
function idOf(value) {
  const id = typeof value === "string" && value.trim() ? Number(value) : value;
  return typeof id === "number" && Number.isFinite(id) ? id : 0;
}
