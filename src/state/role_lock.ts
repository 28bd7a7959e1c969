import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants, copyFile, link, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { errnoOf, TunnelError } from '../core/errors.js';
import { openBeacon, socketFileState } from '../core/socket_file.js';
import { readRegularFile } from './state_file.js';

/**
 * Lets one process at a time use the identity of a role. Lock files have numbers, `listener.lock.7`, and the file with
 * the highest number holds the lock:
 *
 * - link(2) creates a whole file in one step, and fails when the name is taken.
 * - Only the holder of a higher number deletes a lower one, so the highest number never decreases. This makes it safe
 *   to take over from a dead process: of all processes that saw the same dead holder at 7, one creates 8. A slow
 *   process that creates a number below the highest notices this when it looks again, and has lost.
 * - A holder that releases the lock marks its file as free and leaves it there.
 * - A holder listens on a socket next to its file, the beacon, from before it has the lock. So the kernel knows whether
 *   the holder lives, whatever its host name and its process id are in its container. Process ids decide only where
 *   there is no beacon, and for locks of older versions.
 */
export interface RoleLock {
  /** Releases the lock. A second call does nothing. */
  release(): Promise<void>;
}

/** The process that holds a lock. */
export interface LockHolder {
  /** 0 when the file does not say. */
  readonly pid: number;
  readonly file: string;
  /** Whether it soon releases the lock: it changes something, and does not run as the role. */
  readonly isBrief: boolean;
  /**
   * Set when the holder runs on another machine or in another container, where we cannot tell whether it is
   * alive.
   */
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
  // Processes of older versions do not report these.
  brief: v.optional(v.boolean()),
  beacon: v.optional(v.pipe(v.string(), v.regex(/^[a-z]+\.beacon\.[0-9a-f]{8}$/))),
});

/** Ours have about 200 bytes. */
const MAX_LOCK_BYTES = 4096;

/** Each lost race means that another process won, so this many losses in a row do not happen. */
const MAX_TRIES = 100;

/**
 * How long an unreadable lock file is assumed to be incomplete because it is still being written, in milliseconds. Only
 * file systems without link(2) can show a half-written one.
 */
const UNREADABLE_GRACE_MS = 5000;

/**
 * Takes the lock of `name` in `folder`, or returns its holder. Never waits.
 *
 * @param isBrief whether the caller holds it for a moment only, so that others wait for it
 */
export async function takeRoleLock(folder: string, name: string, isBrief = false): Promise<LockAnswer> {
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
    const beacon = `${name}.beacon.${randomUUID().slice(0, 8)}`;
    const closeBeacon = await openBeacon(folder, beacon);
    const mark = {
      ...ownProcessMark(),
      ...(isBrief ? { brief: true } : {}),
      ...(closeBeacon === undefined ? {} : { beacon }),
    };
    let isMine = false;
    try {
      isMine = await claim(folder, prefix, mine, mark);
      if (!isMine) continue;
      await sweep(folder, prefix, mine);
      await sweepBeacons(folder, name, beacon);
    } finally {
      if (!isMine) closeBeacon?.();
    }
    return { kind: 'held', lock: heldLock(join(folder, `${prefix}${mine}`), mark, closeBeacon) };
  }
  throw new TunnelError(
    'ERR_STATE_IO',
    `${join(folder, prefix)}* keeps changing; move the state folder to a local disk with --state DIR`,
  );
}

/**
 * Creates the lock file of a number; false when another process was faster. Exported for a test.
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
  // Other processes may have used this number and deleted its file before we created it.
  if ((await highestNumber(folder, prefix)) === number) return true;
  await rm(file, { force: true });
  return false;
}

function heldLock(file: string, mark: ProcessMark, closeBeacon: (() => void) | undefined): RoleLock {
  let released = false;
  return {
    release: async () => {
      if (released) return;
      released = true;
      const text = lockText('free', mark);
      try {
        // Something else may have this name by now: writing to a named pipe would wait for a reader.
        await rm(`${file}.free`, { force: true });
        await writeFile(`${file}.free`, text, { flag: 'wx', mode: 0o600 });
        await rename(`${file}.free`, file);
      } catch (error) {
        await rm(`${file}.free`, { force: true }).catch(() => {});
        // Without its folder there is no lock.
        if (errnoOf(error) !== 'ENOENT') throw error;
      } finally {
        closeBeacon?.();
      }
    },
  };
}

const lockText = (state: 'held' | 'free', mark: ProcessMark): string =>
  `${JSON.stringify({ state, ...mark })}\n`;

/** Returns the highest number of the lock files, 0 when there are none. */
async function highestNumber(folder: string, prefix: string): Promise<number> {
  let highest = 0;
  for (const name of await readdir(folder)) {
    highest = Math.max(highest, numberOf(name, prefix));
  }
  return highest;
}

/** Returns the number of a lock file; 0 for any other name, including drafts. */
function numberOf(name: string, prefix: string): number {
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^[1-9]\d{0,14}$/.test(digits) ? Number(digits) : 0;
}

/** Returns the holder of a lock file: `none` when it is free or its process is dead, `changed` when the file is gone. */
async function holderOf(file: string): Promise<LockHolder | 'none' | 'changed'> {
  const text = await readRegularFile(file, MAX_LOCK_BYTES);
  if (text === undefined) return 'changed';
  const lock = parseLock(text);
  if (lock === undefined) return (await isFresh(file)) ? { pid: 0, file, isBrief: true } : 'none';
  if (lock.state === 'free') return 'none';
  const state = (await beaconState(dirname(file), lock)) ?? (await processState(lock));
  if (state === 'dead') return 'none';
  const holder = { pid: lock.pid, file, isBrief: lock.brief === true };
  return state === 'alive' ? holder : { ...holder, host: lock.host };
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

/** Creates a file with all of its text in one step; false when the name is taken. */
async function createWhole(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${process.pid}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { flag: 'wx', mode: 0o600 });
    try {
      await link(draft, file);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      // A process that has just won deleted our draft.
      if (errnoOf(error) === 'ENOENT') return false;
      // Some file systems have no hard links. A copy is nearly the same, but not atomic.
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

/** Deletes the files of lower numbers, including the drafts of dead processes. */
async function sweep(folder: string, prefix: string, mine: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const [number] = name.startsWith(prefix) ? name.slice(prefix.length).split('.') : [];
    const lower = numberOf(`${prefix}${number}`, prefix);
    if (lower > 0 && lower < mine) await rm(join(folder, name), { force: true });
  }
}

/** Deletes the beacons of dead processes. We hold the lock, so no other is in use. */
async function sweepBeacons(folder: string, name: string, mine: string): Promise<void> {
  for (const other of await readdir(folder))
    if (other.startsWith(`${name}.beacon.`) && other !== mine) await rm(join(folder, other), { force: true });
}

/** Whether the holder of a lock lives, as the kernel knows it; undefined when it cannot tell. */
async function beaconState(folder: string, mark: ProcessMark): Promise<'alive' | 'dead' | undefined> {
  // A socket of another machine, or from before a restart, refuses connections too.
  if (mark.beacon === undefined || mark.started === '' || bootOf(mark.started) !== bootOf(startedSync()))
    return undefined;
  try {
    const state = await socketFileState(folder, mark.beacon);
    return state === 'answered' ? 'alive' : state === 'stale' ? 'dead' : undefined;
  } catch {
    return undefined;
  }
}

/** Identifies a process, even when the system reuses process ids. */
export interface ProcessMark {
  readonly pid: number;
  readonly host: string;
  /** Boot and start time if the system reports them (Linux), else ''. */
  readonly started: string;
  /** Random in every process, so that an earlier process with our process id is recognized as another one. */
  readonly token: string;
  /** Set by a holder that soon releases the lock. */
  readonly brief?: boolean | undefined;
  /** Name of the socket next to the lock file that shows that the holder lives. */
  readonly beacon?: string | undefined;
}

const token = randomUUID();

/** Returns the mark of this process. */
export function ownProcessMark(): ProcessMark {
  return { pid: process.pid, host: hostname(), started: startedSync(), token };
}

/** Whether the process of a mark is alive; `unknown` when it is on another machine or in another container. */
export async function processState(mark: ProcessMark): Promise<'alive' | 'dead' | 'unknown'> {
  if (mark.host !== hostname()) return 'unknown';
  if (mark.pid === process.pid) return mark.token === token ? 'alive' : 'dead';
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: the process belongs to another user, and is alive.
    if (errnoOf(error) !== 'EPERM') return 'dead';
  }
  if (mark.started === '') return 'alive';
  const started = await startedOf(mark.pid);
  return started === undefined || started === mark.started ? 'alive' : 'dead';
}

const BOOT_FILE = '/proc/sys/kernel/random/boot_id';

const bootOf = (started: string): string => started.split('/')[0] ?? '';

function startedSync(): string {
  try {
    return startOf(readFileSync(BOOT_FILE, 'utf8'), readFileSync('/proc/self/stat', 'utf8'));
  } catch {
    return '';
  }
}

/** Returns undefined when the system does not report it. */
async function startedOf(pid: number): Promise<string | undefined> {
  try {
    return startOf(await readFile(BOOT_FILE, 'utf8'), await readFile(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Returns the boot id, and the start of the process in ticks since boot: field 22 of its stat line, the 20th after the
 * name, which may contain blanks and brackets. Source: proc(5).
 */
function startOf(boot: string, stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return `${boot.trim()}/${fields[19] ?? ''}`;
}
