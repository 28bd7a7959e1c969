import type { Clock } from '../../core/clock.js';
import type { FrameSink } from '../wire/frame_sink.js';
import type { Reason } from '../wire/reasons.js';
import type { Stream } from './stream.js';

/** What a stream needs of its session. */
export interface StreamHost {
  readonly sink: FrameSink;
  readonly clock: Clock;
  readonly frameBytes: number;
  /** For the tuning of windows; also sees to it that it is measured now and then. */
  roundTripMs(nowMs: number): number | undefined;
  controlDue(stream: Stream): void;
  dataDue(stream: Stream): void;
  /** {@link Stream.settle} is to be called once the batch of frames is in. */
  hasNews(stream: Stream): void;
  /** {@link Stream.drain} is to be called. */
  mayDrain(stream: Stream): void;
  /** The peer's OPEN got its OPENED. */
  answered(): void;
  /** REFUSED is to be sent for the peer's OPEN; the stream is forgotten. */
  refuse(stream: Stream, reason: Reason, text: string): void;
  /** The stream is over. */
  forget(stream: Stream): void;
  pump(): void;
}
