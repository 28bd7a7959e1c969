import type { MuxStream, StreamHandlers } from '../mux/stream/stream_api.js';
import type { Target } from '../mux/wire/target.js';

/** A session with the peer, as forwards see it: a way to open streams. */
export interface StreamOpener {
  /**
   * Asks the far end to dial `target`. Bytes may be written once `onOpened` was called.
   *
   * @throws {TunnelError} ERR_LIMIT when there are too many streams, ERR_PEER_GONE when the session is over
   */
  open(target: Target, handlers: StreamHandlers): MuxStream;
}

/** What a pipe needs of a stream. */
export type PipeStream = Pick<MuxStream, 'write' | 'end' | 'reset' | 'consumed'>;
