import { readU32, writeU32 } from './codec.js';
import { type Fields, invalid } from './handshake.js';

/** Type of the extension field with the limits of the end that sends it (docs/reference/protocol.md, section 2.2). */
const FIELD_LIMITS = 2;
const LIMITS_BYTES = 8;
const MAX_U32 = 0xffff_ffff;

/** What an end lets the other one open. The other end observes these limits itself, so that nothing is refused. */
export interface ToldLimits {
  /** Streams at once. */
  readonly streams: number;
  /** OPENs a second; after a pause, twice as many at once. */
  readonly opensPerSecond: number;
}

/** Adds an end's limits to the fields of its hello or welcome. */
export function withLimits(fields: Fields, { streams, opensPerSecond }: ToldLimits): Fields {
  const value = new Uint8Array(LIMITS_BYTES);
  writeU32(value, 0, Math.min(streams, MAX_U32));
  writeU32(value, 4, Math.min(opensPerSecond, MAX_U32));
  return new Map([...fields, [FIELD_LIMITS, value]]);
}

/**
 * Reads the limits of the other end. Later versions may add to the field.
 *
 * @returns undefined from an end that sends none
 * @throws {TunnelError} ERR_HANDSHAKE_INVALID (remote)
 */
export function toldLimits(fields: Fields): ToldLimits | undefined {
  const value = fields.get(FIELD_LIMITS);
  if (value === undefined) return undefined;
  if (value.length < LIMITS_BYTES) throw invalid('limits in a truncated field');
  const told = { streams: readU32(value, 0), opensPerSecond: readU32(value, 4) };
  if (told.streams === 0 || told.opensPerSecond === 0) throw invalid('a limit of 0');
  return told;
}
