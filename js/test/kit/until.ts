/** Wait for what announces itself to nobody. */

export async function until(met: () => unknown, what = "it", seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !met(); ) {
    if (Date.now() > end) throw new Error(`${what} did not come about in time`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** So many seconds in which something forbidden would have happened. */
export function quiet(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
