import { chmod, lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, TunnelError } from '../core/errors.js';
import { systemReason } from '../core/system_error.js';

/** What to do when a folder or a file cannot be used. Every command that uses the folder has this option. */
export const WAY_OUT = 'choose another folder with --state DIR';
/** The same, in commands that have `--ephemeral` too. */
export const WAY_OUT_EPHEMERAL = `${WAY_OUT}, or run without one with --ephemeral`;

/**
 * Names of our own files in a state folder: for each role its state file with drafts and old ones, its locks with
 * their beacons, and its socket; the same for the names of tickets and the list of bootstrap nodes; the places of peers.
 */
const OURS =
  /^(?:(?:listener|connector|node|names|nodes)\.(?:json|lock|beacon|sock)|(?:listener|connector)-places\.json)/;

/**
 * Creates the state folder if it does not exist, and makes sure that only its owner can enter it. If others can, it
 * closes a folder that holds only our own files, and refuses any other.
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
  // Check again, now that nobody else can add anything.
  await refuseOthers(folder, mode);
}

async function refuseOthers(folder: string, mode: number): Promise<void> {
  const names = await readdir(folder);
  const isOurs = await Promise.all(names.map((name) => isFileOfOurs(folder, name)));
  if (!isOurs.includes(false)) return;
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${folder}: other users of this machine may enter it (mode ${octal(mode)}), and it holds other files than ours or files of others, so it was left unchanged; name another folder with --state DIR, or check its files and close it with: chmod 700 ${folder}`,
  );
}

/** False for anything that another user may have put there: a file of another owner, or a link. */
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
    // Node also reports ENOENT for a read-only file system. Creating the outermost missing folder gives the true error.
    let missing = resolve(folder);
    while (dirname(missing) !== missing && !(await exists(dirname(missing)))) missing = dirname(missing);
    await mkdir(missing, { mode: 0o700 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
}

/** Refuses a file that other users of this machine may use. @throws {TunnelError} ERR_STATE_INVALID */
export function checkFileMode(file: string, mode: number): void {
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${file}: other users of this machine may read or write it (mode ${octal(mode)}), and it holds a secret key; close it with: chmod 600 ${file}`,
  );
}

/** Whether the path exists; a dangling link counts. */
export async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Runs `work`, and turns an error of the system into ERR_STATE_IO. @param wayOut what to do about it */
export async function inFolder<T>(
  folder: string,
  work: () => Promise<T>,
  wayOut: string = WAY_OUT,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (TunnelError.is(error) || errnoOf(error) === undefined) throw error;
    throw new TunnelError('ERR_STATE_IO', `${placeIn(folder, error)}: ${systemReason(error)}, or ${wayOut}`, {
      cause: error,
    });
  }
}

/** The file that the system complains about, or the folder. */
function placeIn(folder: string, error: unknown): string {
  const path = error instanceof Error && 'path' in error ? error.path : undefined;
  return typeof path === 'string' && path.startsWith(join(folder, '/')) ? path : folder;
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');
