// Numbers over time as lines, or of days as bars. What is drawn is also said: the present number of each line, or that under the
// pointer.

import "uplot/dist/uPlot.min.css";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { preferences } from "../preferences.ts";
import { day, time } from "../text/dates.ts";
import { locale } from "../text/index.ts";
import styles from "./chart.module.css";

export interface Series {
  readonly label: string;
  readonly colour: "accent" | "good" | "called" | "soft";
  readonly values: readonly (number | null)[];
}

interface Props {
  title: string;
  /** In seconds since 1970. */
  times: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  /** Bars of days instead of lines. */
  isDays?: boolean;
}

const HEIGHT = 150;
/** In seconds. */
const HALF_DAY = 43_200;
const AXIS_FONT = "11px system-ui, sans-serif";

export function Chart({ title, times, series, format, isDays = false }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const swatches = useRef<(HTMLSpanElement | null)[]>([]);
  const [index, setIndex] = useState<number>();
  const data: uPlot.AlignedData = [times as number[], ...series.map(({ values }) => values as (number | null)[])];
  const latest = useRef({ data, format });
  latest.current = { data, format };
  const lines = series.length;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    // A canvas knows no variables of style sheets; what an element has of them it does.
    const colourOf = (n: number) => getComputedStyle(swatches.current[n] ?? element).color;
    const styleOf = getComputedStyle(element);
    const ink = () => styleOf.color;
    const grid = () => styleOf.borderTopColor;
    const bars = uPlot.paths.bars?.({ size: [0.7, 40] });
    const axis: uPlot.Axis = { stroke: ink, font: AXIS_FONT, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const drawn = new uPlot(
      {
        width: Math.max(1, element.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: !isDays } },
        hooks: { setCursor: [({ cursor }) => setIndex(cursor.idx ?? undefined)] },
        // Bars are as wide as days.
        scales: { ...(isDays && { x: { range: (_, min, max) => [min - HALF_DAY, max + HALF_DAY] } }), y: { range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
        axes: [
          { ...axis, size: 26, space: 70, values: (_, splits) => splits.map((at) => (isDays ? shortDay(at) : time(new Date(at * 1_000).toISOString()))) },
          { ...axis, size: 46, space: 36, values: (_, splits) => splits.map((value) => latest.current.format(value)) },
        ],
        series: [
          {},
          ...Array.from({ length: lines }, (_, n): uPlot.Series => ({
            stroke: () => colourOf(n),
            width: isDays ? 0 : 2,
            points: { show: false },
            ...(isDays && bars && { fill: () => colourOf(n), paths: bars }),
          })),
        ],
      },
      latest.current.data,
      element,
    );
    plot.current = drawn;
    const resized = new ResizeObserver(() => drawn.setSize({ width: Math.max(1, element.clientWidth), height: HEIGHT }));
    resized.observe(element);
    const redraw = () => drawn.redraw(false);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    theme.addEventListener("change", redraw);
    const unsubscribe = preferences.subscribe(redraw);
    return () => {
      unsubscribe();
      theme.removeEventListener("change", redraw);
      resized.disconnect();
      drawn.destroy();
    };
  }, [lines, isDays]);

  useEffect(() => {
    plot.current?.setData(latest.current.data);
  }, [times, series]);

  const shown = index !== undefined && times[index] !== undefined ? index : times.length - 1;
  const at = times[shown];
  return (
    <figure className={styles.chart} aria-label={title}>
      <figcaption className={styles.caption}>
        <span className={styles.title}>{title}</span>
        <ul className={styles.legend}>
          {series.map(({ label, colour, values }, n) => {
            const value = values[shown];
            return (
              <li key={label}>
                <span
                  ref={(element) => {
                    swatches.current[n] = element;
                  }}
                  className={`${styles.swatch} ${styles[colour]}`}
                  aria-hidden="true"
                />
                {lines > 1 && <span className={styles.label}>{label}</span>}
                <b>{value === null || value === undefined ? "–" : format(value)}</b>
              </li>
            );
          })}
        </ul>
        <span className={styles.at}>{index !== undefined && at !== undefined && (isDays ? day(new Date(at * 1_000).toISOString()) : time(new Date(at * 1_000).toISOString()))}</span>
      </figcaption>
      <div ref={frame} className={styles.plot} aria-hidden="true" />
    </figure>
  );
}

const shortDay = (at: number) => new Date(at * 1_000).toLocaleDateString(locale(), { day: "numeric", month: "short" });
