import { MAX_STREAM_DATAGRAM_BYTES } from '../../core/limits.js';
import type { DatagramMemory } from './datagram_memory.js';
import { DatagramReceiver } from './datagram_receiver.js';
import { DatagramSender } from './datagram_sender.js';

/** Both directions of the datagrams of a stream to a UDP target. Such a stream carries no bytes. */
export class Datagrams {
  readonly sending: DatagramSender;
  readonly receiving: DatagramReceiver;

  /** @param memory shared by all streams of the session @param frameBytes maximum length of a frame */
  constructor(memory: DatagramMemory, frameBytes: number, nowMs: number) {
    this.sending = new DatagramSender(memory.share(MAX_STREAM_DATAGRAM_BYTES), frameBytes, nowMs);
    this.receiving = new DatagramReceiver(memory.share(MAX_STREAM_DATAGRAM_BYTES));
  }

  clear(): void {
    this.sending.clear();
    this.receiving.clear();
  }
}
