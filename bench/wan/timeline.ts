/** What arrived when. Times are milliseconds since 1970, so that processes agree on them. */
export interface Timeline {
  readonly beganAtMs: number;
  readonly stepMs: number;
  /** Bytes that had arrived at the end of each step since the beginning. */
  readonly totals: readonly number[];
}

/** Bytes that had arrived by then. */
export function bytesAt({ beganAtMs, stepMs, totals }: Timeline, atMs: number): number {
  const steps = Math.floor((atMs - beganAtMs) / stepMs);
  if (steps <= 0) return 0;
  return totals[Math.min(steps, totals.length) - 1] ?? 0;
}

/** Bits per second, on average, between two times. */
export function bitRate(timeline: Timeline, fromMs: number, toMs: number): number {
  return ((bytesAt(timeline, toMs) - bytesAt(timeline, fromMs)) * 8000) / (toMs - fromMs);
}

/** When so many bytes had arrived; undefined when they never had. */
export function whenBytes({ beganAtMs, stepMs, totals }: Timeline, bytes: number): number | undefined {
  const step = totals.findIndex((total) => total >= bytes);
  return step < 0 ? undefined : beganAtMs + (step + 1) * stepMs;
}

/** A second that is as fast as this part of the speed before counts as full speed again. */
const FULL_SPEED = 0.8;
const SPEED_WINDOW_MS = 1_000;

/**
 * When the first second of full speed began after an interruption.
 *
 * @param bitsBefore bits per second before it
 * @returns undefined when it never came
 */
export function whenFullSpeed(timeline: Timeline, bitsBefore: number, afterMs: number): number | undefined {
  const endMs = timeline.beganAtMs + timeline.totals.length * timeline.stepMs;
  for (let atMs = afterMs; atMs + SPEED_WINDOW_MS <= endMs; atMs += timeline.stepMs) {
    if (bitRate(timeline, atMs, atMs + SPEED_WINDOW_MS) >= FULL_SPEED * bitsBefore) return atMs;
  }
  return undefined;
}

/** When the first byte came after that time; undefined when none did. */
export function whenMoving(timeline: Timeline, afterMs: number): number | undefined {
  return whenBytes(timeline, bytesAt(timeline, afterMs) + 1);
}
