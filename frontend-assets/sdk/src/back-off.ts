// How long to wait before the next try.

const FIRST_MS = 1_000;
const LAST_MS = 30_000;

/**
 * Doubles with every failure, from a second to half a minute, and differs from client to client: those whom one
 * fault hit don't come back in the same moment.
 *
 * @param failures in a row before this one
 */
export function backOff(failures: number): number {
  const ceiling = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(ceiling * (0.25 + 0.75 * Math.random()));
}
