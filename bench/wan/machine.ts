import { readFileSync } from 'node:fs';

/**
 * Measures how busy all processors were since its creation: other load on the machine makes rows worthless.
 */
export class BusyMeter {
  readonly #begin = readTicks();

  /** From 0 to 100. */
  percent(): number {
    const now = readTicks();
    return 100 * (1 - (now.idle - this.#begin.idle) / (now.all - this.#begin.all));
  }
}

function readTicks(): { readonly idle: number; readonly all: number } {
  // cpu user nice system idle iowait irq softirq steal …: proc(5)
  const ticks = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '')
    .trim()
    .split(/\s+/)
    .slice(1, 9)
    .map(Number);
  return { idle: (ticks[3] ?? 0) + (ticks[4] ?? 0), all: ticks.reduce((sum, each) => sum + each, 0) };
}
