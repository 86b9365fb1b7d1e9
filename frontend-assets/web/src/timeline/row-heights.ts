// How high every row of a list is, measured or guessed, and so where each begins.
//
// What must stay true: rows keep what was measured of them, whatever comes before or after.

/** How many rows came before those that both lists hold; negative if as many went; absent if they share no beginning. */
export function shiftBetween<T>(before: readonly T[], after: readonly T[], keyOf: (row: T) => string): number | undefined {
  const [oldest] = before;
  const [first] = after;
  if (oldest === undefined || first === undefined) return undefined;
  const key = keyOf(oldest);
  if (keyOf(first) === key) return 0;
  const grown = after.length - before.length;
  const there = after[grown];
  if (grown > 0 && there !== undefined && keyOf(there) === key) return grown;
  const came = after.findIndex((row) => keyOf(row) === key);
  if (came > 0) return came;
  const went = before.findIndex((row) => keyOf(row) === keyOf(first));
  return went > 0 ? -went : undefined;
}

export class RowHeights<T> {
  #rows: readonly T[] = [];
  #heights: number[] = [];
  /** Where each row begins, in pixels from the first one; holds up to the index `#summed`. */
  #tops: number[] = [0];
  #summed = 0;

  /** `guess` says how high a row may be that was never measured, in pixels. */
  constructor(
    readonly keyOf: (row: T) => string,
    readonly guess: (row: T, previous: T | undefined) => number,
  ) {}

  get rows(): readonly T[] {
    return this.#rows;
  }

  /** The height of all of it, in pixels. */
  get total(): number {
    return this.top(this.#rows.length);
  }

  /** Goes over to other rows, and says how far those that stay have moved, in rows. */
  take(rows: readonly T[]): number | undefined {
    const before = this.#rows;
    if (rows === before) return 0;
    const shift = shiftBetween(before, rows, this.keyOf);
    let same = shift === 0 ? this.#summed : 0;
    const heights = rows.map((row, index) => {
      const old = shift === undefined ? undefined : before[index - shift];
      const height = this.#heights[index - (shift ?? 0)];
      if (old !== undefined && height !== undefined && (old === row || this.keyOf(old) === this.keyOf(row))) return height;
      same = Math.min(same, index);
      return this.guess(row, rows[index - 1]);
    });
    this.#rows = rows;
    this.#heights = heights;
    this.#summed = Math.min(same, rows.length);
    return shift;
  }

  /** Notes what was measured. */
  measured(index: number, height: number): void {
    if (this.#heights[index] === height) return;
    this.#heights[index] = height;
    this.#summed = Math.min(this.#summed, index);
  }

  height(index: number): number {
    return this.#heights[index] ?? 0;
  }

  /** Where a row begins; that of the index after the last one is where all of it ends. */
  top(index: number): number {
    for (let i = this.#summed; i < index; i++) this.#tops[i + 1] = (this.#tops[i] ?? 0) + this.height(i);
    this.#summed = Math.max(this.#summed, index);
    return this.#tops[index] ?? 0;
  }

  /** The row at so many pixels: the first or last one if there is none. */
  at(pixels: number): number {
    let low = 0;
    let high = Math.max(0, this.#rows.length - 1);
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.top(middle) <= pixels) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
