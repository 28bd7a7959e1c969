import type { Agreement } from './agreement.js';

/**
 * Names the channel of an agreement in its packets: 32 bits, the same at both ends (docs/protocol.md,
 * section 5). The 32-bit FNV-1a hash of both session UUIDs, the connector's first; keeps late
 * packets of an older channel apart and needs to resist nobody, as Tox authenticates each packet.
 * Source of the numbers: draft-eastlake-fnv-21, section 5.
 */
export function channelTag(agreement: Agreement, role: 'connector' | 'listener'): number {
  const { ourSession, theirSession } = agreement;
  const [first, second] = role === 'connector' ? [ourSession, theirSession] : [theirSession, ourSession];
  return hash(second, hash(first, 0x811c9dc5));
}

function hash(bytes: Uint8Array, from: number): number {
  let value = from;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
