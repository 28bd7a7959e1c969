/**
 * Records how many bytes arrived when. Times are milliseconds since 1970, so that processes agree on them.
 */
export interface Timeline {
  readonly beganAtMs: number;
  readonly stepMs: number;
  /** Total bytes that had arrived at the end of each step. */
  readonly totals: readonly number[];
}

/** Returns the bytes that had arrived by this time. */
export function bytesAt({ beganAtMs, stepMs, totals }: Timeline, atMs: number): number {
  const steps = Math.floor((atMs - beganAtMs) / stepMs);
  if (steps <= 0) return 0;
  return totals[Math.min(steps, totals.length) - 1] ?? 0;
}

/** Returns the average bits per second between two times. */
export function bitRate(timeline: Timeline, fromMs: number, toMs: number): number {
  return ((bytesAt(timeline, toMs) - bytesAt(timeline, fromMs)) * 8000) / (toMs - fromMs);
}

/** Returns when this many bytes had arrived; undefined if they never did. */
export function whenBytes({ beganAtMs, stepMs, totals }: Timeline, bytes: number): number | undefined {
  const step = totals.findIndex((total) => total >= bytes);
  return step < 0 ? undefined : beganAtMs + (step + 1) * stepMs;
}

/** A second that reaches this share of the earlier speed counts as full speed again. */
const FULL_SPEED = 0.8;
const SPEED_WINDOW_MS = 1_000;

/**
 * Returns when the first second of full speed started after an interruption.
 *
 * @param bitsBefore bits per second before the interruption
 * @returns undefined if full speed never returned
 */
export function whenFullSpeed(timeline: Timeline, bitsBefore: number, afterMs: number): number | undefined {
  const endMs = timeline.beganAtMs + timeline.totals.length * timeline.stepMs;
  for (let atMs = afterMs; atMs + SPEED_WINDOW_MS <= endMs; atMs += timeline.stepMs) {
    if (bitRate(timeline, atMs, atMs + SPEED_WINDOW_MS) >= FULL_SPEED * bitsBefore) return atMs;
  }
  return undefined;
}

/** Returns when the first byte arrived after this time; undefined if none did. */
export function whenMoving(timeline: Timeline, afterMs: number): number | undefined {
  return whenBytes(timeline, bytesAt(timeline, afterMs) + 1);
}
