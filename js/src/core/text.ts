/**
 * Characters and bytes of strings, where the platform may have no `TextEncoder`.
 *
 * - characters are code points, bytes those of UTF-8 (test: characters and bytes).
 */

/** Unicode code points in `text`. */
export function charsOf(text: string): number {
  return [...text].length;
}

/** Bytes of `text` in UTF-8; half a surrogate pair counts as the replacement character it is sent as. */
export function bytesOf(text: string): number {
  let bytes = 0;
  for (const char of text) bytes += char < "\u0080" ? 1 : char < "\u0800" ? 2 : char.length + 2;
  return bytes;
}
