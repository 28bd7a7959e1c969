import { chmod, lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, TunnelError } from '../core/errors.js';

/** What to do when a folder or a file can't be used. */
export const WAY_OUT = 'choose another folder with --state DIR, or do without with --ephemeral';

/** Names of ours in a state folder: a role's file, its drafts and older ones, its locks, its socket; the same of the names; the list of nodes. */
const OURS = /^(?:(?:listener|connector|node|names)\.(?:json|lock|sock)|nodes\.json)/;

/**
 * Makes the state folder where there is none, and sees to it that nobody but its owner enters: one
 * that holds nothing but files of ours is closed to others, one with other things is refused.
 *
 * @throws {TunnelError} ERR_STATE_INVALID
 */
export async function closedFolder(folder: string): Promise<void> {
  await makeFolder(folder);
  if (process.platform === 'win32') return;
  const { mode } = await stat(folder);
  if ((mode & 0o077) === 0) return;
  await refuseOthers(folder, mode);
  await chmod(folder, 0o700);
  // Once more, now that nobody else puts anything there.
  await refuseOthers(folder, mode);
}

async function refuseOthers(folder: string, mode: number): Promise<void> {
  const names = await readdir(folder);
  const isOurs = await Promise.all(names.map((name) => isFileOfOurs(folder, name)));
  if (!isOurs.includes(false)) return;
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${folder}: others on this machine may enter it (mode ${octal(mode)}), and it holds other things too, or things of others, so it was left as it is; name a folder of its own with --state DIR, or look through it and make it yours alone with: chmod 700 ${folder}`,
  );
}

/** False for what another may have put there: what belongs to somebody else, or a link to what is ours. */
async function isFileOfOurs(folder: string, name: string): Promise<boolean> {
  if (!OURS.test(name)) return false;
  const stats = await lstat(join(folder, name));
  const isLink = stats.isSymbolicLink() || (stats.isFile() && stats.nlink > 1);
  return !isLink && stats.uid === process.geteuid?.();
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    // Node says so of a file system that cannot be written, too: what is the matter with the outermost folder that is missing?
    let missing = resolve(folder);
    while (dirname(missing) !== missing && !(await exists(dirname(missing)))) missing = dirname(missing);
    await mkdir(missing, { mode: 0o700 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
}

/** Refuses a file that others on this machine may use. @throws {TunnelError} ERR_STATE_INVALID */
export function checkFileMode(file: string, mode: number): void {
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${file}: others on this machine may use it (mode ${octal(mode)}), and it holds a secret key; make it yours alone with: chmod 600 ${file}`,
  );
}

/** Whether anything lies there, a link that leads nowhere too. */
export async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Runs `work`; what the system refuses becomes ERR_STATE_IO. */
export async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error);
    if (TunnelError.is(error) || errno === undefined) throw error;
    const why = error instanceof Error ? error.message : errno;
    throw new TunnelError('ERR_STATE_IO', `${folder}: ${why}; ${WAY_OUT}`, { cause: error });
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');
