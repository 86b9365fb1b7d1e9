// Where the rows of a list stand in their scroller, of which only those near the view are elements.
//
// What must stay true: whatever comes, goes or turns out higher or lower than guessed, the rows that the reader saw
// stay where they are, or the end does if the reader is there. Nothing is written to `scrollTop` for that while the
// reader scrolls: a write would end the swing of a finger, and undo what was scrolled but isn't told yet. Instead, the
// rows stand a little off from where their sum would have them (`#slack`), and that is made good when they rest.

import { RowHeights } from "./row-heights.ts";

/** So near to the end counts as being there. */
const AT_END_PX = 60;
/** Rows this far outside of the view are elements; more are made when less than half of it is left. */
const AROUND_PX = 700;

export interface Range {
  readonly first: number;
  /** The one after the last row. */
  readonly last: number;
}

export class Arrangement<T> {
  readonly #heights: RowHeights<T>;
  readonly #scroller: HTMLElement;
  /** As high as all rows; has those that are elements as the children of its only child. */
  readonly #list: HTMLElement;
  #range: Range = { first: 0, last: 0 };
  /** How much lower than their sum the rows stand. */
  #slack = 0;
  /** Where the list begins in the scroller: something may stand before it. */
  #listTop = 0;
  #isAtEnd: boolean;
  /** Whether nothing is missing after the last row. */
  #isEndLoaded: boolean;
  /** The row that is to come into the middle of the view. */
  #target: number | undefined;
  /** Of the scroller, as it was left or heard of last. */
  #known = { top: 0, height: 0 };

  /** Begins at the row `start`, or else at the end. */
  constructor(list: HTMLElement, heights: RowHeights<T>, start: number | undefined) {
    this.#list = list;
    this.#scroller = list.parentElement as HTMLElement;
    this.#heights = heights;
    this.#target = start;
    this.#isAtEnd = start === undefined;
    this.#isEndLoaded = start === undefined;
  }

  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  /** Whether there is something to settle. */
  get isOff(): boolean {
    return Math.abs(this.#slack) >= 1;
  }

  /** Pixels of rows before the view. */
  get before(): number {
    return this.#view();
  }

  /** Pixels of rows after the view. */
  get after(): number {
    return this.#heights.total - this.#view() - this.#scroller.clientHeight;
  }

  /** The first row that is in the view, if only in part. */
  get firstInView(): number {
    return this.#heights.at(this.#view());
  }

  /** Hears that the reader may have scrolled. */
  scrolled(): void {
    const { scrollTop: top, scrollHeight: height } = this.#scroller;
    this.#noteEnd(top, height);
    this.#known = { top, height };
  }

  toEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.scrolled();
    this.#target = undefined;
    this.#isAtEnd = true;
  }

  /** Brings a row into the middle of the view, as soon as what is there then is arranged. */
  toRow(index: number): void {
    this.#target = index;
    this.#scroller.scrollTop = this.#middleOf(index);
    this.scrolled();
    this.#isAtEnd = false;
  }

  /** Puts everything in place, now that these of the rows are elements. `isEndLoaded`: nothing is missing after the last one. */
  arrange(rows: readonly T[], range: Range, isEndLoaded: boolean): void {
    if (this.#scroller.clientHeight === 0) return;
    // Who went up has left the end, even if the event that tells so is still to come.
    this.#noteEnd(this.#scroller.scrollTop, this.#known.height);
    const { index, edge } = this.#anchor();
    const row = this.#heights.rows[index];
    const held = this.#listTop + this.#slack + this.#heights.top(index + edge);

    const shift = this.#heights.take(rows);
    this.#range = range;
    this.#measure();
    this.#listTop = this.#list.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top + this.#scroller.scrollTop;
    const at = shift === undefined ? undefined : this.#find(row, index + shift);
    if (at !== undefined) this.#slack = held - this.#listTop - this.#heights.top(at + edge);

    const isShort = range.first === 0 || this.#heights.top(range.first) + this.#slack < 0;
    if (isShort || this.#isAtEnd || this.#target !== undefined) this.#settleBy(this.#slack);
    else this.#place();
    if (this.#target !== undefined) {
      this.#scroller.scrollTop = this.#middleOf(this.#target);
      if (!this.missing()) this.#target = undefined;
    } else if (this.#isAtEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;

    this.#isEndLoaded = isEndLoaded;
    this.scrolled();
  }

  /** The rows that have to be elements, if some of them aren't. */
  missing(): Range | undefined {
    if (this.#scroller.clientHeight === 0) return undefined;
    const near = this.#around(AROUND_PX / 2);
    return near.first < this.#range.first || near.last > this.#range.last ? this.#around(AROUND_PX) : undefined;
  }

  /** Makes good what the rows stand off. Nothing of it is seen. */
  settle(): void {
    // What is less than a pixel would be rounded, and seen.
    this.#settleBy(Math.trunc(this.#slack));
    this.scrolled();
  }

  #settleBy(pixels: number): void {
    // As it was before the list may become too low for it.
    const { scrollTop } = this.#scroller;
    this.#slack -= pixels;
    this.#place();
    if (pixels !== 0) this.#scroller.scrollTop = scrollTop - pixels;
  }

  #place(): void {
    const { style } = this.#list;
    style.paddingTop = `${Math.max(0, this.#heights.top(this.#range.first) + this.#slack)}px`;
    style.paddingBottom = `${this.#heights.total - this.#heights.top(this.#range.last)}px`;
    // While rows are exchanged the list doesn't become lower, or the scroller would go up with its end.
    style.minHeight = `${this.#heights.total + this.#slack}px`;
  }

  #measure(): void {
    let index = this.#range.first;
    for (const element of this.#list.firstElementChild?.children ?? []) {
      this.#heights.measured(index, element.getBoundingClientRect().height);
      index++;
    }
  }

  #noteEnd(top: number, height: number): void {
    const left = height - top - this.#scroller.clientHeight;
    // Rows that turn out higher than thought move the end away; only going up leaves it.
    if (left < AT_END_PX || top < this.#known.top - 1) this.#isAtEnd = left < AT_END_PX && this.#isEndLoaded;
  }

  /**
   * What has to stay where it is: the end of the first row that is seen whole (its beginning is another one when rows come
   * before it that are of the same person, or of the same day), or the beginning of the first one that is seen at all.
   */
  #anchor(): { readonly index: number; readonly edge: 0 | 1 } {
    if (this.#target !== undefined) return { index: this.#target, edge: 0 };
    const view = this.#view();
    const { first, last } = this.#range;
    const seen = this.#heights.at(view);
    const whole = this.#heights.top(seen) < view ? seen + 1 : seen;
    const anchor = Math.max(whole, first);
    const isSeen = anchor < last && this.#heights.top(anchor) < view + this.#scroller.clientHeight;
    return isSeen ? { index: anchor, edge: 1 } : { index: seen, edge: 0 };
  }

  /** Where a row is now that was thought to be at this index. */
  #find(row: T | undefined, index: number): number | undefined {
    if (row === undefined) return undefined;
    const { rows, keyOf } = this.#heights;
    const key = keyOf(row);
    const there = rows[index];
    if (there !== undefined && keyOf(there) === key) return index;
    const found = rows.findIndex((other) => keyOf(other) === key);
    return found < 0 ? undefined : found;
  }

  /** The `scrollTop` that has a row in the middle. */
  #middleOf(index: number): number {
    const middle = this.#heights.top(index) + this.#heights.height(index) / 2;
    return this.#listTop + this.#slack + middle - this.#scroller.clientHeight / 2;
  }

  /** Where the view begins, in pixels from the first row. */
  #view(): number {
    return this.#scroller.scrollTop - this.#listTop - this.#slack;
  }

  #around(pixels: number): Range {
    const { rows } = this.#heights;
    const view = this.#view();
    if (rows.length === 0) return { first: 0, last: 0 };
    return { first: this.#heights.at(view - pixels), last: this.#heights.at(view + this.#scroller.clientHeight + pixels) + 1 };
  }
}
