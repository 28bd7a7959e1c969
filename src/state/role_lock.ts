import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants, copyFile, link, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { errnoOf, TunnelError } from '../core/errors.js';

/**
 * One process at a time may use a role's identity. Lock files are numbered, `listener.lock.7`,
 * and the highest number holds:
 *
 * - A file is made whole and at once, by link(2), which fails when the name is taken.
 * - Only the holder of a higher number deletes a lower one, so the highest number never falls.
 *   That is what makes taking over from the dead safe: of those who saw the same dead holder at 7,
 *   one makes 8; whoever was slow and made a number below the highest sees that when it looks
 *   again, and has lost.
 * - A holder that goes in peace marks its file as free and leaves it there.
 */
export interface RoleLock {
  /** Lets the next one in. Calling it again does nothing. */
  release(): Promise<void>;
}

/** Who has the lock. */
export interface LockHolder {
  /** 0 when the file does not tell. */
  readonly pid: number;
  readonly file: string;
  /** Set when the holder is of another machine or container, so that nobody can say if it runs. */
  readonly host?: string;
}

export type LockAnswer =
  | { readonly kind: 'held'; readonly lock: RoleLock }
  | { readonly kind: 'busy'; readonly holder: LockHolder };

const LockSchema = v.object({
  state: v.picklist(['held', 'free']),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  host: v.string(),
  started: v.string(),
  token: v.string(),
});

/** Every lost race means that another starter won; so many in a row do not happen. */
const MAX_TRIES = 100;

/**
 * How long a lock file that cannot be read counts as one being written, in milliseconds. Only
 * where there is no link(2) can it be seen half written.
 */
const UNREADABLE_GRACE_MS = 5000;

/** Takes the lock of `name` in `folder`, or tells who has it; never waits. */
export async function takeRoleLock(folder: string, name: string): Promise<LockAnswer> {
  const prefix = `${name}.lock.`;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const highest = await highestNumber(folder, prefix);
    if (highest > 0) {
      const file = join(folder, `${prefix}${highest}`);
      const holder = await holderOf(file);
      if (holder === 'changed') continue;
      if (holder !== 'none') return { kind: 'busy', holder };
    }
    const mine = highest + 1;
    const mark = ownProcessMark();
    if (!(await claim(folder, prefix, mine, mark))) continue;
    await sweep(folder, prefix, mine);
    return { kind: 'held', lock: heldLock(join(folder, `${prefix}${mine}`), mark) };
  }
  throw new TunnelError(
    'ERR_STATE_IO',
    `${join(folder, prefix)}* changes all the time: is it on a network share?`,
  );
}

/**
 * Makes the file of a number; false when another was faster. For {@link takeRoleLock} and its test.
 *
 * @param prefix `listener.lock.`
 */
export async function claim(
  folder: string,
  prefix: string,
  number: number,
  mark: ProcessMark,
): Promise<boolean> {
  const file = join(folder, `${prefix}${number}`);
  if (!(await createWhole(file, lockText('held', mark)))) return false;
  // While we were slow others may have come, gone on and swept our number away before we made it.
  if ((await highestNumber(folder, prefix)) === number) return true;
  await rm(file, { force: true });
  return false;
}

function heldLock(file: string, mark: ProcessMark): RoleLock {
  let released = false;
  return {
    release: async () => {
      if (released) return;
      released = true;
      const text = lockText('free', mark);
      try {
        await writeFile(`${file}.free`, text, { mode: 0o600 });
        await rename(`${file}.free`, file);
      } catch (error) {
        await rm(`${file}.free`, { force: true }).catch(() => {});
        // Where the folder has gone, so has the lock.
        if (errnoOf(error) !== 'ENOENT') throw error;
      }
    },
  };
}

const lockText = (state: 'held' | 'free', mark: ProcessMark): string =>
  `${JSON.stringify({ state, ...mark })}\n`;

/** The highest number of the lock files that are there, 0 when there is none. */
async function highestNumber(folder: string, prefix: string): Promise<number> {
  let highest = 0;
  for (const name of await readdir(folder)) {
    highest = Math.max(highest, numberOf(name, prefix));
  }
  return highest;
}

/** The number of a lock file; 0 for any other name, drafts included. */
function numberOf(name: string, prefix: string): number {
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^[1-9]\d{0,14}$/.test(digits) ? Number(digits) : 0;
}

/** Who holds a lock file: `none` when it is free or its process is dead, `changed` when it has just gone. */
async function holderOf(file: string): Promise<LockHolder | 'none' | 'changed'> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'changed';
    throw error;
  }
  const lock = parseLock(text);
  if (lock === undefined) return (await isFresh(file)) ? { pid: 0, file } : 'none';
  if (lock.state === 'free') return 'none';
  const state = await processState(lock);
  if (state === 'dead') return 'none';
  return state === 'alive' ? { pid: lock.pid, file } : { pid: lock.pid, file, host: lock.host };
}

function parseLock(text: string): v.InferOutput<typeof LockSchema> | undefined {
  try {
    const read = v.safeParse(LockSchema, JSON.parse(text));
    return read.success ? read.output : undefined;
  } catch {
    return undefined;
  }
}

async function isFresh(file: string): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(file);
    return Math.abs(Date.now() - mtimeMs) < UNREADABLE_GRACE_MS;
  } catch {
    return true;
  }
}

/** Makes a file with all of its text at once; false when the name is taken. */
async function createWhole(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${process.pid}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { flag: 'wx', mode: 0o600 });
    try {
      await link(draft, file);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      // A winner of this very moment swept our draft away.
      if (errnoOf(error) === 'ENOENT') return false;
      // File systems without links: nearly the same, only not all at once.
      await copyFile(draft, file, constants.COPYFILE_EXCL);
    }
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Deletes what lower numbers left behind, drafts of the dead included. */
async function sweep(folder: string, prefix: string, mine: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const [number] = name.startsWith(prefix) ? name.slice(prefix.length).split('.') : [];
    const lower = numberOf(`${prefix}${number}`, prefix);
    if (lower > 0 && lower < mine) await rm(join(folder, name), { force: true });
  }
}

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
