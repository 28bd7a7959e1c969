import {
  type CREDIT,
  OFFSET_FRAME_BYTES,
  type OPENED,
  openBytes,
  RESET_BYTES,
  writeOffsetFrame,
  writeOpen,
  writeReset,
} from './frame.js';
import type { Reason } from './reasons.js';

/** The way out for frames: a ring's writer, the channel, or a test. */
export interface FrameSink {
  /**
   * Room for one frame of exactly `bytes`, to be filled in place and then {@link commit}ted.
   * `urgent` frames overtake the others in the channel; `lossy` ones may get lost on their way.
   *
   * @returns undefined when there is no room now: `Session.writable` is to be called later
   */
  reserve(bytes: number, urgent: boolean, lossy?: boolean): Uint8Array | undefined;
  /** Sends what the last {@link reserve} gave. */
  commit(): void;
}

/**
 * @param target as `encodeTarget` wrote it
 * @returns false when the sink refused, as all of these
 */
export function putOpen(sink: FrameSink, id: Uint8Array, creditOffset: number, target: Uint8Array): boolean {
  const out = sink.reserve(openBytes(target), true);
  if (out === undefined) return false;
  writeOpen(out, id, creditOffset, target);
  sink.commit();
  return true;
}

/** @param offset asked for once there is room */
export function putOffset(
  sink: FrameSink,
  type: typeof CREDIT | typeof OPENED,
  id: Uint8Array,
  offset: () => number,
): boolean {
  const out = sink.reserve(OFFSET_FRAME_BYTES, true);
  if (out === undefined) return false;
  writeOffsetFrame(out, type, id, offset());
  sink.commit();
  return true;
}

export function putReset(sink: FrameSink, id: Uint8Array, reason: Reason): boolean {
  const out = sink.reserve(RESET_BYTES, true);
  if (out === undefined) return false;
  writeReset(out, id, reason);
  sink.commit();
  return true;
}
