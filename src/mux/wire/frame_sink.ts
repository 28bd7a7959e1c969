import {
  type CREDIT,
  type GIVE_BACK,
  OFFSET_FRAME_BYTES,
  type OPENED,
  openBytes,
  RESET_BYTES,
  writeOffsetFrame,
  writeOpen,
  writeReset,
} from './frame.js';
import type { Reason } from './reasons.js';

/** Takes a session's frames: a channel of the outbound ring, or a test. */
export interface FrameSink {
  /**
   * Makes room for one frame of exactly `bytes`. The caller fills it in place and calls {@link commit}.
   * `urgent` frames overtake the others in the channel; `lossy` frames may be lost on their way.
   *
   * @returns undefined when there is no room now; call `Session.writable` once there is
   */
  reserve(bytes: number, urgent: boolean, lossy?: boolean): Uint8Array | undefined;
  /** Sends the frame that the last {@link reserve} made room for. */
  commit(): void;
  /** Frames committed so far, except lossy ones: BYE tells the peer how many to expect. */
  readonly framesSent: number;
  /** Bytes of all frames committed so far. */
  readonly bytesSent: number;
}

/** Sends OPEN. @param target from `encodeTarget` @returns false when the sink has no room */
export function putOpen(sink: FrameSink, id: Uint8Array, creditOffset: number, target: Uint8Array): boolean {
  const out = sink.reserve(openBytes(target), true);
  if (out === undefined) return false;
  writeOpen(out, id, creditOffset, target);
  sink.commit();
  return true;
}

/** Sends CREDIT, OPENED or GIVE_BACK. Calls `offset` only if there is room. @returns false when the sink has no room */
export function putOffset(
  sink: FrameSink,
  type: typeof CREDIT | typeof OPENED | typeof GIVE_BACK,
  id: Uint8Array,
  offset: () => number,
): boolean {
  const out = sink.reserve(OFFSET_FRAME_BYTES, true);
  if (out === undefined) return false;
  writeOffsetFrame(out, type, id, offset());
  sink.commit();
  return true;
}

/** Sends RESET. @returns false when the sink has no room */
export function putReset(sink: FrameSink, id: Uint8Array, reason: Reason): boolean {
  const out = sink.reserve(RESET_BYTES, true);
  if (out === undefined) return false;
  writeReset(out, id, reason);
  sink.commit();
  return true;
}
