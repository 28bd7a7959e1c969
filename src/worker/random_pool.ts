import { randomFillSync } from 'node:crypto';

/** Bytes drawn from the system at a time: toxcore asks for 4 to 32, often. */
const POOL_BYTES = 4096;

/**
 * A source of bytes from Node's CSPRNG, for many small wishes. Bytes that were given out are
 * wiped from the pool, so that no later look into memory finds a nonce or a key.
 */
export function createRandomPool(
  fill: (into: Uint8Array) => void = randomFillSync,
): (into: Uint8Array) => void {
  const pool = new Uint8Array(POOL_BYTES);
  let used = POOL_BYTES;
  return (into) => {
    if (into.length > POOL_BYTES) {
      fill(into);
      return;
    }
    if (used + into.length > POOL_BYTES) {
      fill(pool);
      used = 0;
    }
    const drawn = pool.subarray(used, used + into.length);
    into.set(drawn);
    drawn.fill(0);
    used += into.length;
  };
}
