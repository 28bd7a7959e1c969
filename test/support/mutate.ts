import { randomOf } from './mux_link.js';

export type FuzzInput = Uint8Array | string;

export const asBytes = (input: FuzzInput): Uint8Array =>
  typeof input === 'string' ? Uint8Array.from(Buffer.from(input)) : input;

export const asText = (input: FuzzInput): string =>
  typeof input === 'string' ? input : Buffer.from(input).toString('latin1');

/** Values that trip up decoders: the ends of ranges of 8, 16, 32 and 53 bits. */
const EDGES: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0x80],
  [0xff],
  [0, 0],
  [0xff, 0xff],
  [0x7f, 0xff],
  [0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0x20, 0, 0, 0, 0, 0, 0],
];

/**
 * Derives inputs from valid ones by a few cuts, changes and joins each; the same seed gives the same inputs.
 */
export class Mutator {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Returns one of the seeds, now and then unchanged, otherwise mutated. */
  bytes(seeds: readonly FuzzInput[], maxBytes: number): Uint8Array {
    let bytes = asBytes(this.of(seeds));
    for (let changes = this.below(5); changes > 0; changes--) bytes = this.#changed(bytes, seeds);
    return bytes.length > maxBytes ? bytes.subarray(0, maxBytes) : bytes;
  }

  #changed(bytes: Uint8Array, seeds: readonly FuzzInput[]): Uint8Array {
    const at = this.below(bytes.length + 1);
    switch (this.below(8)) {
      case 0:
        return bytes.slice(0, at);
      case 1:
        return bytes.slice(at);
      case 2:
        return joined(bytes.subarray(0, at), this.#noise(), bytes.subarray(at));
      case 3:
        return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + this.below(8)));
      case 4: {
        const other = asBytes(this.of(seeds));
        return joined(bytes.subarray(0, at), other.subarray(this.below(other.length + 1)));
      }
      case 5: {
        const out = bytes.slice();
        if (out.length > 0) out[this.below(out.length)]! ^= 1 << this.below(8);
        return out;
      }
      case 6: {
        const out = bytes.slice();
        const edge = this.of(EDGES);
        if (edge.length <= out.length) out.set(edge, this.below(out.length - edge.length + 1));
        return out;
      }
      default: {
        const out = bytes.slice();
        if (out.length > 0) out[this.below(out.length)] = this.below(256);
        return out;
      }
    }
  }

  #noise(): Uint8Array {
    return Uint8Array.from({ length: this.below(12) }, () => this.below(256));
  }

  /** Like {@link bytes}, for text; `pieces` are words of the grammar. */
  text(seeds: readonly FuzzInput[], pieces: readonly string[]): string {
    let text = asText(this.of(seeds));
    for (let changes = this.below(5); changes > 0; changes--) {
      const at = this.below(text.length + 1);
      const end = at + this.below(6);
      const start = text.slice(0, at);
      switch (this.below(6)) {
        case 0:
          text = start;
          break;
        case 1:
          text = start + text.slice(end);
          break;
        case 2:
          text = start + this.of(pieces) + text.slice(at);
          break;
        case 3:
          text =
            start + String.fromCharCode(this.below(this.below(8) === 0 ? 65_536 : 128)) + text.slice(at + 1);
          break;
        case 4:
          text = start + asText(this.of(seeds)).slice(this.below(20));
          break;
        default:
          text = start + text.slice(at, end).repeat(1 + this.below(4)) + text.slice(end);
      }
    }
    return text;
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
