import type { RequestAdmission } from '../bridge/contract.js';
import { Allowance } from '../core/allowance.js';

/**
 * Requests handed up for each prefix and each key: at most so many at once and a second. A
 * connector repeats its request until it is answered, so an honest one that is dropped comes again.
 */
const BURST = 32;
const PER_SECOND = 4;

/** How often it is told that requests were dropped, in milliseconds. */
const TELL_MS = 10_000;

/**
 * Lets through the friend requests that somebody wants, each kind with an allowance of its own: a
 * stranger, who has no ticket, passes nothing on, however many requests he sends, and takes nothing
 * from those who have one. It costs a look into two tables, and no memory.
 */
export class RequestGate {
  readonly #onDropped: (count: number) => void;
  /** By the digits of the prefix, and of the key. */
  #prefixes = new Map<string, Allowance>();
  #keys = new Map<string, Allowance>();
  #denied = new Set<string>();
  #prefixBytes = 0;
  #untold = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(onDropped: (count: number) => void) {
    this.#onDropped = onDropped;
  }

  admit({ prefixes, keys, deniedKeys }: RequestAdmission, nowMs: number): void {
    this.#prefixBytes = prefixes[0]?.length ?? 0;
    this.#prefixes = allowances(prefixes, this.#prefixes, nowMs);
    this.#keys = allowances(keys, this.#keys, nowMs);
    this.#denied = new Set(deniedKeys.map(digits));
  }

  /** True for one that is to be handed up. */
  take(publicKey: Uint8Array, message: Uint8Array, nowMs: number): boolean {
    const key = digits(publicKey);
    const allowance =
      this.#keys.get(key) ?? this.#prefixes.get(digits(message.subarray(0, this.#prefixBytes)));
    if (allowance !== undefined && !this.#denied.has(key) && allowance.take(nowMs)) return true;
    this.#dropped(nowMs);
    return false;
  }

  #dropped(nowMs: number): void {
    this.#untold++;
    if (nowMs - this.#toldMs < TELL_MS) return;
    this.#toldMs = nowMs;
    this.#onDropped(this.#untold);
    this.#untold = 0;
  }
}

/** One for each, taken over from `old` where there is one: a change refills none. */
function allowances(
  names: readonly Uint8Array[],
  old: ReadonlyMap<string, Allowance>,
  nowMs: number,
): Map<string, Allowance> {
  return new Map(
    names.map((bytes) => {
      const name = digits(bytes);
      return [name, old.get(name) ?? new Allowance(BURST, PER_SECOND, nowMs)];
    }),
  );
}

function digits(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
