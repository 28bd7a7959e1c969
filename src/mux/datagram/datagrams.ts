import { MAX_STREAM_DATAGRAM_BYTES } from '../../core/limits.js';
import type { DatagramMemory } from './datagram_memory.js';
import { DatagramReceiver } from './datagram_receiver.js';
import { DatagramSender } from './datagram_sender.js';

/** What a stream to a UDP target has beside its halves: both directions of its datagrams. */
export class Datagrams {
  readonly sending: DatagramSender;
  readonly receiving: DatagramReceiver;

  /** @param memory of all streams of the session */
  constructor(memory: DatagramMemory, frameBytes: number, nowMs: number) {
    this.sending = new DatagramSender(memory.share(MAX_STREAM_DATAGRAM_BYTES), frameBytes, nowMs);
    this.receiving = new DatagramReceiver(memory.share(MAX_STREAM_DATAGRAM_BYTES));
  }

  clear(): void {
    this.sending.clear();
    this.receiving.clear();
  }
}
