// A table of which only the rows near the view are elements, however many there are. All rows are equally high, so that where one
// stands follows from its number.
//
// From the keyboard it is one stop: the arrows, Page Up and Down, Home and End walk through its rows, Enter shows one whole, and Tab
// goes on to what can be done with it.

import { MoreHorizontal } from "lucide-react";
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent, type MouseEvent, type ReactNode } from "react";
import { flushSync } from "react-dom";
import { isRefused } from "../../text/errors.ts";
import controls from "../../ui/controls.module.css";
import { Menu, type MenuAction } from "../../ui/Menu.tsx";
import { Waiting } from "../../ui/Waiting.tsx";
import { useAdminText } from "../text/index.ts";
import { useIsNarrow } from "../useIsNarrow.ts";
import type { Rows } from "./rows.ts";
import styles from "./table.module.css";

/** In pixels, as in the style sheet. */
const ROW = 44;
const HEADER = 36;
/** Rows outside of the view that are elements, too. */
const AROUND = 10;
const FIRST_ROWS = 30;

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ReactNode;
  /** How wide it is, as a track of a grid; a share of what is left unless given. */
  readonly width?: string;
  /** Shown only where there is room for it. */
  readonly isWide?: boolean;
  readonly isNumber?: boolean;
}

interface Props<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: Rows<Row>;
  /** What a row is called in the names of its buttons. */
  nameOf: (row: Row) => string;
  /** What can be done with a row. */
  actions?: ((row: Row) => readonly MenuAction[]) | undefined;
  /** Shows a row whole. */
  onOpen?: (row: Row) => void;
  /** Said in place of rows where there are none. */
  empty: string;
}

export function Table<Row>({ label, columns, rows, nameOf, actions, onOpen, empty }: Props<Row>) {
  const text = useAdminText();
  const isNarrow = useIsNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ first: 0, last: FIRST_ROWS });
  const [current, setCurrent] = useState(0);
  const { total, show } = rows;
  const shown = columns.filter(({ isWide }) => !isWide || !isNarrow);
  const template = [...shown.map(({ width = "minmax(0, 1fr)" }) => width), actions && "2.5rem"].filter(Boolean).join(" ");

  const look = () => {
    const element = scroller.current;
    if (!element) return;
    const first = Math.max(0, Math.floor(element.scrollTop / ROW) - AROUND);
    const last = Math.ceil((element.scrollTop + element.clientHeight) / ROW) + AROUND;
    setView((now) => (now.first === first && now.last === last ? now : { first, last }));
  };
  const isThere = total > 0;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const resized = new ResizeObserver(look);
    resized.observe(element);
    return () => resized.disconnect();
  }, [isThere]);

  const first = Math.min(view.first, Math.max(0, total - 1));
  const last = Math.min(view.last, total);
  useEffect(() => show(first, last), [show, first, last]);
  // The stop of the keyboard is one of the rows that are there.
  const stop = current >= first && current < last ? current : Math.min(total - 1, first === 0 ? 0 : first + AROUND);

  const walk = (to: number) => {
    const element = scroller.current;
    if (!element) return;
    const index = Math.max(0, Math.min(total - 1, to));
    const [top, height] = [index * ROW, element.clientHeight - HEADER];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW > element.scrollTop + height) element.scrollTop = top + ROW - height;
    flushSync(() => {
      look();
      setCurrent(index);
    });
    element.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: true });
  };
  const pressed = (event: KeyboardEvent<HTMLElement>) => {
    // The keys of a button in a row are its own.
    if (!(event.target instanceof HTMLElement) || event.target.dataset.index === undefined) return;
    const page = Math.max(1, Math.floor(((scroller.current?.clientHeight ?? 0) - HEADER) / ROW) - 1);
    const steps: Record<string, number> = {
      ArrowDown: stop + 1,
      ArrowUp: stop - 1,
      PageDown: stop + page,
      PageUp: stop - page,
      Home: 0,
      End: total - 1,
    };
    const to = steps[event.key];
    const row = rows.at(stop);
    if (to !== undefined) walk(to);
    else if (event.key === "Enter" && onOpen && row !== undefined) onOpen(row);
    else return;
    event.preventDefault();
  };

  if (isRefused(rows.error, "not_found")) return <p className={controls.empty}>{text.unavailable}</p>;
  if (rows.isPending || rows.error) return <Waiting error={rows.error} onRetry={rows.refresh} />;
  if (!isThere) return <p className={controls.empty}>{empty}</p>;
  return (
    <div
      ref={scroller}
      className={styles.table}
      role="grid"
      aria-label={label}
      aria-rowcount={total + 1}
      aria-colcount={shown.length + (actions ? 1 : 0)}
      onScroll={look}
      onKeyDown={pressed}
    >
      <div className={styles.header} role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
        {shown.map(({ title, isNumber }) => (
          <span key={title} role="columnheader" className={isNumber ? styles.number : undefined}>
            {title}
          </span>
        ))}
        {actions && (
          <span role="columnheader">
            <span className="unseen">{text.actions(label)}</span>
          </span>
        )}
      </div>
      <div role="rowgroup" className={styles.rows} style={{ height: total * ROW }}>
        <div role="presentation" style={{ transform: `translateY(${first * ROW}px)` }}>
          {Array.from({ length: last - first }, (_, offset) => {
            const index = first + offset;
            const row = rows.at(index);
            const can = row === undefined ? [] : (actions?.(row) ?? []);
            return (
              <div
                key={index}
                role="row"
                aria-rowindex={index + 2}
                aria-busy={row === undefined || undefined}
                data-index={index}
                tabIndex={index === stop ? 0 : -1}
                className={onOpen ? `${styles.row} ${styles.opens}` : styles.row}
                style={{ gridTemplateColumns: template }}
                onFocus={() => setCurrent(index)}
                onClick={(event) => row !== undefined && isOfRow(event) && onOpen?.(row)}
              >
                {shown.map(({ title, cell, isNumber }) => (
                  <span key={title} role="gridcell" className={isNumber ? `${styles.cell} ${styles.number}` : styles.cell}>
                    {row === undefined ? <span className={styles.ghost} /> : cell(row)}
                  </span>
                ))}
                {actions && (
                  <span role="gridcell" className={styles.menu}>
                    {row !== undefined && can.length > 0 && (
                      <Menu label={text.actions(nameOf(row))} className={controls.icon} actions={can} tabIndex={index === stop ? 0 : -1}>
                        <MoreHorizontal size={17} aria-hidden />
                      </Menu>
                    )}
                  </span>
                )}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** Whether the row itself was clicked: not a button in it, nor what such a button has opened elsewhere. */
function isOfRow({ target, currentTarget }: MouseEvent<HTMLElement>): boolean {
  return target instanceof Element && currentTarget.contains(target) && !target.closest("button, a");
}
