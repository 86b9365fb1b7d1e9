// A list of which only the rows near the view are elements, however many there are.
//
// The rows are drawn and measured before the browser paints, also while it is scrolled: drawn later, they would come into
// the view unmeasured, and a slow machine would show it. Where they stand is the arrangement's.

import { useImperativeHandle, useLayoutEffect, useRef, useState, type ReactElement, type Ref } from "react";
import { flushSync } from "react-dom";
import { Arrangement, type Range } from "./arrangement.ts";
import { RowHeights, shiftBetween } from "./row-heights.ts";
import styles from "./virtual-rows.module.css";

/** Rows that are drawn first, before anything is known of their heights. */
const FIRST_ROWS = 30;
/** Rows that are drawn with the last one when they come after it, without being asked for. */
const APPENDED_ROWS = 10;
/** Without scrolling for so long, the list rests. */
const REST_MS = 150;

/** Where the view is among the rows. */
export interface Place {
  readonly isAtEnd: boolean;
  /** Pixels of rows before the view, and after it. */
  readonly before: number;
  readonly after: number;
  /** The index of the first row in it. */
  readonly first: number;
}

export interface VirtualRowsHandle {
  place: () => Place;
  toEnd: () => void;
  /** Brings a row into the middle of the view. */
  toRow: (index: number) => void;
}

interface Props<T> {
  ref: Ref<VirtualRowsHandle>;
  rows: readonly T[];
  keyOf: (row: T) => string;
  /** How high a row may be that was never measured, in pixels. */
  guess: (row: T, previous: T | undefined) => number;
  /** The row that it begins at; absent for the end. */
  start: number | undefined;
  /** Whether nothing is missing after the last row: whoever is there then stays at the end as more come. */
  isEndLoaded: boolean;
  onScroll: (place: Place) => void;
  children: (row: T, index: number) => ReactElement;
}

/** Has to be a child of what scrolls. */
export function VirtualRows<T>({ ref, rows, keyOf, guess, start, isEndLoaded, onScroll, children }: Props<T>) {
  const list = useRef<HTMLDivElement>(null);
  const arrangement = useRef<Arrangement<T>>(null);
  const [shown, setShown] = useState(() => ({ rows, ...firstRange(rows.length, start) }));
  let range: Range = shown;
  if (shown.rows !== rows) {
    range = moved(shown, shown.rows, rows, keyOf);
    setShown({ rows, ...range });
  }
  const latest = useRef({ rows, range, isEndLoaded, onScroll });
  const restLater = useRef(() => {});
  const toldAtEnd = useRef<boolean>(undefined);

  const tell = (current: Arrangement<T>) => {
    toldAtEnd.current = current.isAtEnd;
    latest.current.onScroll(placeIn(current));
  };

  // Without dependencies: whatever was drawn may be higher or lower than it was.
  useLayoutEffect(() => {
    latest.current = { rows, range, isEndLoaded, onScroll };
    if (!list.current) return;
    arrangement.current ??= new Arrangement(list.current, new RowHeights(keyOf, guess), start);
    arrangement.current.arrange(rows, range, isEndLoaded);
    const missing = arrangement.current.missing();
    if (missing) return setShown({ rows, ...missing });
    if (arrangement.current.isOff) restLater.current();
    // It may have come to the end, or have begun, without being scrolled.
    if (toldAtEnd.current !== arrangement.current.isAtEnd) tell(arrangement.current);
  });

  useLayoutEffect(() => {
    const element = list.current;
    const scroller = element?.parentElement;
    const drawn = element?.firstElementChild;
    if (!element || !scroller || !drawn) return;
    let rest = 0;
    let frame = 0;
    let isTouched = false;
    const draw = () => {
      const missing = arrangement.current?.missing();
      if (missing) flushSync(() => setShown({ rows: latest.current.rows, ...missing }));
    };
    restLater.current = () => {
      clearTimeout(rest);
      rest = setTimeout(() => {
        if (isTouched) return restLater.current();
        element.classList.remove(styles.scrolling ?? "");
        arrangement.current?.settle();
      }, REST_MS);
    };
    const scrolled = () => {
      const { current } = arrangement;
      if (!current) return;
      current.scrolled();
      draw();
      element.classList.add(styles.scrolling ?? "");
      restLater.current();
      tell(current);
    };
    const touched = ({ touches }: TouchEvent) => (isTouched = touches.length > 0);
    const resized = new ResizeObserver(() => {
      const { rows, range, isEndLoaded } = latest.current;
      arrangement.current?.arrange(rows, range, isEndLoaded);
      if (arrangement.current?.isOff) restLater.current();
      // Rows that were drawn here would be observed too late.
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(draw);
    });
    resized.observe(scroller);
    resized.observe(drawn);
    scroller.addEventListener("scroll", scrolled, { passive: true });
    for (const event of TOUCHES) scroller.addEventListener(event, touched, { passive: true });
    return () => {
      clearTimeout(rest);
      cancelAnimationFrame(frame);
      resized.disconnect();
      scroller.removeEventListener("scroll", scrolled);
      for (const event of TOUCHES) scroller.removeEventListener(event, touched);
    };
  }, []);

  useImperativeHandle(ref, () => {
    const drawAgain = () => setShown({ rows: latest.current.rows, ...(arrangement.current?.missing() ?? latest.current.range) });
    return {
      place: () => (arrangement.current ? placeIn(arrangement.current) : { isAtEnd: true, before: 0, after: 0, first: 0 }),
      toEnd() {
        arrangement.current?.toEnd();
        drawAgain();
      },
      toRow(index) {
        arrangement.current?.toRow(index);
        drawAgain();
      },
    };
  }, []);

  return (
    <div ref={list} className={styles.list}>
      <div>
        {rows.slice(range.first, range.last).map((row, offset) => (
          <div key={keyOf(row)} className={styles.row}>
            {children(row, range.first + offset)}
          </div>
        ))}
      </div>
    </div>
  );
}

const TOUCHES = ["touchstart", "touchend", "touchcancel"] as const;

const placeIn = <T,>({ isAtEnd, before, after, firstInView }: Arrangement<T>): Place => ({ isAtEnd, before, after, first: firstInView });

function firstRange(count: number, start: number | undefined): Range {
  const first = Math.max(0, Math.min(count, start === undefined ? count : start + FIRST_ROWS / 2) - FIRST_ROWS);
  return { first, last: Math.min(count, first + FIRST_ROWS) };
}

/** The same rows, and what came after the last one. */
function moved<T>({ first, last }: Range, before: readonly T[], after: readonly T[], keyOf: (row: T) => string): Range {
  const shift = shiftBetween(before, after, keyOf);
  if (shift === undefined) return firstRange(after.length, undefined);
  const within = (index: number) => Math.max(0, Math.min(after.length, index + shift));
  return { first: within(first), last: last === before.length ? Math.min(after.length, within(last) + APPENDED_ROWS) : within(last) };
}
