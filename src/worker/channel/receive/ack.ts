import { invalid, readU32, widen } from '../packet.js';
import { ACK_DELAY_UNIT_MS, MAX_ACK_RANGES, RECEIVED_SPAN } from './received_packets.js';

/** An acknowledgement, read into arrays that are used again for the next one. */
export class Ack {
  /** Ranges read, the newest first. */
  count = 0;
  /** How long the peer held the largest number back. */
  delayMs = 0;
  /** First and last number of each range, both inclusive. */
  readonly first = new Float64Array(MAX_ACK_RANGES);
  readonly last = new Float64Array(MAX_ACK_RANGES);

  /**
   * Reads the acknowledgement at `at`.
   * @param nextNumber the number of the next packet to be sent: none from it on was sent
   * @returns where it ends
   * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set
   */
  read(packet: Uint8Array, at: number, nextNumber: number): number {
    if (packet.length - at < 8) throw invalid('the acknowledgement is cut short');
    const largest = widen(readU32(packet, at), nextNumber);
    if (largest >= nextNumber || largest < 0) throw invalid('it acknowledges a packet that was never sent');
    this.delayMs = ((packet[at + 4]! << 8) | packet[at + 5]!) * ACK_DELAY_UNIT_MS;
    const further = packet[at + 6]!;
    if (further >= MAX_ACK_RANGES) throw invalid('it acknowledges too many ranges');

    let next = at + 7;
    let last = largest;
    for (let range = 0; range <= further; range++) {
      if (range > 0) {
        const gap = readSmall(packet, next);
        next += smallBytes(packet, next);
        last -= gap + 1;
      }
      const first = last - readSmall(packet, next);
      next += smallBytes(packet, next);
      if (first < 0) throw invalid('it acknowledges packets before the first');
      // Nobody remembers more, and each number costs the reader work.
      if (largest - first >= RECEIVED_SPAN) throw invalid('it acknowledges packets from too far back');
      this.first[range] = first;
      this.last[range] = last;
      last = first - 1;
    }
    this.count = further + 1;
    return next;
  }
}

function smallBytes(packet: Uint8Array, at: number): number {
  return packet[at]! < 0x80 ? 1 : 2;
}

function readSmall(packet: Uint8Array, at: number): number {
  const high = packet[at];
  if (high === undefined) throw invalid('the acknowledgement is cut short');
  if (high < 0x80) return high;
  const low = packet[at + 1];
  if (low === undefined) throw invalid('the acknowledgement is cut short');
  return ((high & 0x7f) << 8) | low;
}
