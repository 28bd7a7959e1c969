import type { RequestAdmission } from '../bridge/contract.js';
import { Allowance } from '../core/allowance.js';

/**
 * Requests passed on for each prefix and each key, at once and per second. A connector repeats its request
 * until it is answered, so an honest request that is dropped is sent again.
 */
const BURST = 32;
const PER_SECOND = 4;

/** How often the gate reports dropped requests, in milliseconds. */
const REPORT_MS = 10_000;

/**
 * Lets through the friend requests that the listener admits. Each kind has its own allowance: a stranger
 * without a ticket gets nothing through, however many requests it sends, and takes nothing from ticket
 * holders. A request costs two table lookups, and no memory.
 */
export class RequestGate {
  readonly #onDropped: (count: number) => void;
  /** By the hexadecimal digits of the prefix, and of the key. */
  #prefixes = new Map<string, Allowance>();
  #keys = new Map<string, Allowance>();
  #denied = new Set<string>();
  #prefixBytes = 0;
  #unreported = 0;
  #reportedMs = Number.NEGATIVE_INFINITY;

  constructor(onDropped: (count: number) => void) {
    this.#onDropped = onDropped;
  }

  admit({ prefixes, keys, deniedKeys }: RequestAdmission, nowMs: number): void {
    this.#prefixBytes = prefixes[0]?.length ?? 0;
    this.#prefixes = allowances(prefixes, this.#prefixes, nowMs);
    this.#keys = allowances(keys, this.#keys, nowMs);
    this.#denied = new Set(deniedKeys.map(digits));
  }

  /** Returns true for a request to pass on. */
  take(publicKey: Uint8Array, message: Uint8Array, nowMs: number): boolean {
    const key = digits(publicKey);
    const allowance =
      this.#keys.get(key) ?? this.#prefixes.get(digits(message.subarray(0, this.#prefixBytes)));
    if (allowance !== undefined && !this.#denied.has(key) && allowance.take(nowMs)) return true;
    this.#dropped(nowMs);
    return false;
  }

  #dropped(nowMs: number): void {
    this.#unreported++;
    if (nowMs - this.#reportedMs < REPORT_MS) return;
    this.#reportedMs = nowMs;
    this.#onDropped(this.#unreported);
    this.#unreported = 0;
  }
}

/** An allowance for each name. Existing ones are kept, so that a change refills none. */
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
