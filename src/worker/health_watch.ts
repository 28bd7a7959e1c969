import type { NodeHealth } from '../bridge/contract.js';
import { Timer, type Timers } from '../core/clock.js';
import { MAX_WASM_BYTES } from '../core/limits.js';
import type { LogLevel } from '../core/logger.js';

/** From here on newcomers are refused, so that the rest is left for connected peers. */
const SHORT_BYTES = MAX_WASM_BYTES * 0.8;
/** Less than this must be in use before newcomers are accepted again. */
const ENOUGH_BYTES = MAX_WASM_BYTES * 0.7;

const INTERVAL_MS = 5_000;

/** A flood, not a few stray packets. */
const FLOOD_DATAGRAMS = 1_000;
/** A flood is logged when it begins, and then this often. */
const FLOOD_LOG_MS = 600_000;

const MIB = 1024 * 1024;

export interface HealthWatchParts {
  readonly timers: Timers;
  /** Bytes that toxcore has allocated in the wasm memory, not the size of that memory. */
  wasmMemoryBytes(): number;
  /** Datagrams of strangers dropped so far. */
  strangersDropped(): number;
  log(level: LogLevel, message: string): void;
  /** Called when a value has changed since the last call. */
  tell(health: NodeHealth): void;
  /** Called when memory has become short, so that newcomers must be refused, and when there is enough again. */
  memoryIsShort(isShort: boolean): void;
}

/** Watches what strangers could use up, and tells the user before it is used up. */
export class HealthWatch {
  readonly #parts: HealthWatchParts;
  readonly #timer: Timer;
  #told: NodeHealth = { wasmMemoryBytes: 0, strangersDropped: 0 };
  #isShort = false;
  #floodDropped = 0;
  #floodLogAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: HealthWatchParts) {
    this.#parts = parts;
    this.#timer = new Timer(parts.timers);
    this.#timer.every(INTERVAL_MS, () => this.#look());
  }

  stop(): void {
    this.#timer.clear();
  }

  #look(): void {
    const { wasmMemoryBytes, strangersDropped, tell } = this.#parts;
    const health = { wasmMemoryBytes: wasmMemoryBytes(), strangersDropped: strangersDropped() };
    this.#watchMemory(health.wasmMemoryBytes);
    this.#watchFlood(health.strangersDropped, health.strangersDropped - this.#told.strangersDropped);
    const isNew =
      Math.abs(health.wasmMemoryBytes - this.#told.wasmMemoryBytes) >= MIB / 4 ||
      health.strangersDropped !== this.#told.strangersDropped;
    if (!isNew) return;
    this.#told = health;
    tell(health);
  }

  #watchMemory(bytes: number): void {
    const isShort = bytes >= (this.#isShort ? ENOUGH_BYTES : SHORT_BYTES);
    if (isShort === this.#isShort) return;
    this.#isShort = isShort;
    const used = `${Math.round(bytes / MIB)} of ${MAX_WASM_BYTES / MIB} MiB`;
    if (isShort) {
      this.#parts.log(
        'error',
        `toxcore uses ${used} of its memory: new peers and relay connections are refused until there is more; lower --max-peers, or restart this process`,
      );
    } else this.#parts.log('info', `toxcore uses ${used} of its memory: new peers are accepted again`);
    this.#parts.memoryIsShort(isShort);
  }

  #watchFlood(dropped: number, more: number): void {
    const nowMs = this.#parts.timers.nowMs();
    if (more < FLOOD_DATAGRAMS || nowMs < this.#floodLogAtMs + FLOOD_LOG_MS) return;
    this.#floodLogAtMs = nowMs;
    const count = dropped - this.#floodDropped;
    this.#floodDropped = dropped;
    this.#parts.log(
      'warn',
      `strangers send more packets than this node answers: ${count} were dropped; packets of peers go first, but new ones may wait. If this continues, block the senders in a firewall`,
    );
  }
}
