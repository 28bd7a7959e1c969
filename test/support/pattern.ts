/**
 * Bytes that look random and are the same for the same seed. Both ends can generate them, and a lost,
 * duplicated or misplaced piece shows.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { Readable } from 'node:stream';

const PIECE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/** Yields `bytes` of the pattern in pieces of 64 KiB, each in a fresh buffer. */
export function* patternPieces(seed: string, bytes: number): Generator<Buffer, void, undefined> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  // AES in counter mode over zeros: a good generator that costs very little.
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    yield cipher.update(left < PIECE_BYTES ? ZEROS.subarray(0, left) : ZEROS);
  }
}

export function pattern(seed: string, bytes: number): Buffer {
  return Buffer.concat([...patternPieces(seed, bytes)]);
}

export function patternStream(seed: string, bytes: number): Readable {
  return Readable.from(patternPieces(seed, bytes), { objectMode: false });
}

/** Returns the SHA-256 of `bytes` of the pattern, in hex. */
export function patternDigest(seed: string, bytes: number): string {
  const hash = createHash('sha256');
  for (const piece of patternPieces(seed, bytes)) hash.update(piece);
  return hash.digest('hex');
}
