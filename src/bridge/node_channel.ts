import type { TunnelError } from '../core/errors.js';
import type { MainSide } from '../ring/main_side.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../ring/record.js';
import type { ChannelId } from './contract.js';

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

/** What a channel needs of the rings. */
export type ChannelSide = Pick<MainSide, 'reserve' | 'commit' | 'bytes' | 'isClosed'>;

/** The main thread's end of one peer's channel: frames out, into the ring. */
export class NodeChannel {
  readonly id: ChannelId;
  readonly #side: ChannelSide;

  constructor(side: ChannelSide, id: ChannelId) {
    this.#side = side;
    this.id = id;
  }

  /** The worker is gone: no frame leaves any more. */
  get isGone(): boolean {
    return this.#side.isClosed;
  }

  /**
   * Room for one frame in the outbound ring, to be filled and then {@link commit}ted.
   *
   * @returns undefined when there is none now: {@link ChannelHandlers.room} tells when. Undefined for good when
   *   {@link isGone}: whoever writes to a stream at that moment must not get an exception for it
   */
  reserve(bytes: number, urgent: boolean, lossy = false): Uint8Array | undefined {
    if (this.isGone) return undefined;
    const flags = (urgent ? FLAG_URGENT : 0) | (lossy ? FLAG_LOSSY : 0);
    const offset = this.#side.reserve(this.id, flags, bytes);
    return offset === undefined ? undefined : this.#side.bytes.subarray(offset, offset + bytes);
  }

  commit(): void {
    this.#side.commit();
  }
}
