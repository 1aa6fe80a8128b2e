/**
 * Characters and bytes of strings, where the platform may have neither `TextEncoder` nor `isWellFormed`.
 *
 * - characters are code points, bytes those of UTF-8 (test: characters and bytes).
 */

/** Unicode code points in `text`. */
export function charsOf(text: string): number {
  let count = text.length;
  for (let i = 1; i < text.length; i++) {
    if (isLow(text.charCodeAt(i)) && isHigh(text.charCodeAt(i - 1))) count--;
  }
  return count;
}

/** Bytes of `text` in UTF-8; half a surrogate pair counts as the replacement character it is sent as. */
export function bytesOf(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    if (isHigh(unit) && isLow(text.charCodeAt(i + 1))) {
      i++; // four bytes for two units, and two of them are counted
    }
  }
  return bytes;
}

/** Whether `text` holds no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/[\ud800-\udfff]/u.test(text);
}

/** The beginning of `text`, at most `most` bytes. */
export function cut(text: string, most: number): string {
  while (bytesOf(text) > most) text = [...text].slice(0, -1).join("");
  return text;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
