import type { TunnelError } from '../core/errors.js';
import type { MainSide } from '../ring/main_side.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../ring/record.js';
import type { ChannelId } from '../worker/contract.js';

/** What a channel brings its owner. */
export interface ChannelHandlers {
  /** One frame of the peer's; the view is good during the call alone. */
  frame(frame: Uint8Array): void;
  /** A batch of frames is in: once after one or more calls of {@link frame}. */
  flush(): void;
  /** A frame that was refused has room now. */
  room(): void;
  /** The channel cannot go on. It may be told before the call that opened it is answered. */
  failed(error: TunnelError): void;
}

/** The main thread's end of one peer's channel: frames out, into the ring. */
export class NodeChannel {
  readonly id: ChannelId;
  readonly #side: Pick<MainSide, 'reserve' | 'commit' | 'bytes'>;

  constructor(side: Pick<MainSide, 'reserve' | 'commit' | 'bytes'>, id: ChannelId) {
    this.#side = side;
    this.id = id;
  }

  /**
   * Room for one frame in the outbound ring, to be filled and then {@link commit}ted.
   *
   * @returns undefined when there is none now: {@link ChannelHandlers.room} tells when
   */
  reserve(bytes: number, urgent: boolean, lossy = false): Uint8Array | undefined {
    const flags = (urgent ? FLAG_URGENT : 0) | (lossy ? FLAG_LOSSY : 0);
    const offset = this.#side.reserve(this.id, flags, bytes);
    return offset === undefined ? undefined : this.#side.bytes.subarray(offset, offset + bytes);
  }

  commit(): void {
    this.#side.commit();
  }
}
