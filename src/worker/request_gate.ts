import type { RequestAdmission } from '../bridge/contract.js';
import { Allowance } from '../core/allowance.js';

/**
 * Requests passed on for each prefix and each key, at once and per second. After a restart of a listener all its
 * peers ask at once, most with the same ticket. A request costs the main thread some 0.2 ms, so a holder of a ticket
 * who floods takes a few percent of it. An honest request that is dropped comes again a few seconds later.
 */
const BURST = 1024;
const PER_SECOND = 32;

/**
 * A request arrives through each node at which the listener is announced: this many times (MAX_ONION_CLIENTS,
 * toxcore/onion_client.h), within a second or so. The copies cost no allowance; otherwise peers that all come at once
 * would use it up with copies.
 */
const COPIES = 8;
const COPIES_MS = 2_000;

/** How often the gate reports dropped requests, in milliseconds. */
const REPORT_MS = 10_000;

/**
 * Lets through the friend requests that the listener admits. Each kind has its own allowance: a stranger
 * without a ticket gets nothing through, however many requests it sends, and takes nothing from ticket
 * holders. A request costs a few table lookups. Only keys whose requests have just passed take memory, and
 * the allowances bound their number.
 */
export class RequestGate {
  readonly #onDropped: (count: number) => void;
  /** By the hexadecimal digits of the prefix, and of the key. */
  #prefixes = new Map<string, Allowance>();
  #keys = new Map<string, Allowance>();
  #denied = new Set<string>();
  #prefixBytes = 0;
  /** The copies that may still follow a request, by its key, since {@link #copiesMs}. */
  readonly #copies = new Map<string, number>();
  #copiesMs = Number.NEGATIVE_INFINITY;
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
    if (allowance !== undefined && !this.#denied.has(key)) {
      if (this.#isCopy(key, nowMs)) return true;
      if (allowance.take(nowMs)) {
        this.#copies.set(key, COPIES - 1);
        return true;
      }
    }
    this.#dropped(nowMs);
    return false;
  }

  /** Whether a request of this key has just passed, and this may be a copy of it. */
  #isCopy(key: string, nowMs: number): boolean {
    if (nowMs - this.#copiesMs >= COPIES_MS) {
      this.#copiesMs = nowMs;
      this.#copies.clear();
    }
    const left = this.#copies.get(key) ?? 0;
    if (left > 0) this.#copies.set(key, left - 1);
    return left > 0;
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
