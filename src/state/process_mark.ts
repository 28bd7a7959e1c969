import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { errnoOf } from '../core/errno.js';

/** What tells one process from every other, so that a number used again misleads nobody. */
export interface ProcessMark {
  readonly pid: number;
  readonly host: string;
  /** Boot and start time where the system tells them (Linux), else ''. */
  readonly started: string;
  /** Made anew in every process; sees through our own number used again. */
  readonly token: string;
}

const token = randomUUID();

/** The mark of the process that asks. */
export function ownProcessMark(): ProcessMark {
  return { pid: process.pid, host: hostname(), started: startedSync(), token };
}

/** Whether the process of a mark still runs; `unknown` when it is of another machine or container. */
export async function processState(mark: ProcessMark): Promise<'alive' | 'dead' | 'unknown'> {
  if (mark.host !== hostname()) return 'unknown';
  if (mark.pid === process.pid) return mark.token === token ? 'alive' : 'dead';
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: it runs under another user.
    if (errnoOf(error) !== 'EPERM') return 'dead';
  }
  if (mark.started === '') return 'alive';
  const started = await startedOf(mark.pid);
  return started === undefined || started === mark.started ? 'alive' : 'dead';
}

const BOOT_FILE = '/proc/sys/kernel/random/boot_id';

function startedSync(): string {
  try {
    return startOf(readFileSync(BOOT_FILE, 'utf8'), readFileSync('/proc/self/stat', 'utf8'));
  } catch {
    return '';
  }
}

/** Undefined where the system does not tell. */
async function startedOf(pid: number): Promise<string | undefined> {
  try {
    return startOf(await readFile(BOOT_FILE, 'utf8'), await readFile(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * The boot, and the ticks since then at which the process started: field 22 of its stat line,
 * the 20th after the name, which may hold blanks and brackets itself. Source: proc(5).
 */
function startOf(boot: string, stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return `${boot.trim()}/${fields[19] ?? ''}`;
}
