import { Allowance } from '../core/allowance.js';
import type { LogLevel } from '../core/logger.js';

const ORDER: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];

const LINES_BURST = 200;
const LINES_PER_SECOND = 100;

/**
 * Lets a log line through when its level is wanted and there are not too many: a line costs a
 * message to the other thread, and toxcore can write one for every packet.
 */
export function createLogGate(
  level: LogLevel,
  nowMs: () => number,
  write: (level: LogLevel, message: string) => void,
): (level: LogLevel, message: string) => void {
  const allowance = new Allowance(LINES_BURST, LINES_PER_SECOND, nowMs());
  const deepest = ORDER.indexOf(level);
  return (lineLevel, message) => {
    if (ORDER.indexOf(lineLevel) > deepest || !allowance.take(nowMs())) return;
    const refused = allowance.takeRefused();
    if (refused > 0) write('warn', `${refused} log lines were left out: too many at once`);
    write(lineLevel, message);
  };
}
