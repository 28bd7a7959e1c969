import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, TunnelError } from '../core/errors.js';
import { checkOwner, modeText, WAY_OUT } from '../core/file_access.js';
import { systemReason } from '../core/system_error.js';

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
  // What is checked must be what is closed, even if another folder takes the name meanwhile.
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const { mode, uid } = await handle.stat();
    await checkOwner(folder, uid, folder);
    if ((mode & 0o077) === 0) return;
    await refuseOthers(folder, mode);
    await handle.chmod(0o700);
    // Check again, now that nobody else can add anything.
    await refuseOthers(folder, mode);
  } finally {
    await handle.close();
  }
}

/**
 * Refuses to read from a folder of another user, who may have put files there, or from one into which others may put
 * files, unless it can be closed like {@link closedFolder}. Accepts a folder that does not exist.
 *
 * @throws {TunnelError} ERR_STATE_INVALID; or the system's error
 */
export async function checkFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  let mode: number;
  try {
    const stats = await stat(folder);
    // Reading a file in it gives the error.
    if (!stats.isDirectory()) return;
    await checkOwner(folder, stats.uid, folder);
    mode = stats.mode;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return;
    throw error;
  }
  if ((mode & 0o022) !== 0) await closedFolder(folder);
}

async function refuseOthers(folder: string, mode: number): Promise<void> {
  const names = await readdir(folder);
  const isOurs = await Promise.all(names.map((name) => isFileOfOurs(folder, name)));
  if (!isOurs.includes(false)) return;
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${folder}: other users of this machine may enter it (mode ${modeText(mode)}), and it holds files that are not ours, so it was left unchanged; name another folder with --state DIR, or check its files and close it with: chmod 700 ${folder}`,
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
    `${file}: other users of this machine may read or write it (mode ${modeText(mode)}), and it holds a secret key; close it with: chmod 600 ${file}`,
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
