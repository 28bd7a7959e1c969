import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../core/errors.js';

/** File mode: only the owner may read and write. */
const PRIVATE = 0o600;

/**
 * Replaces the content of a file. A crash or a full disk at any moment leaves either the old file or the new one
 * whole. The draft has a fixed name, so that the next call replaces the draft of a crash: where several processes may
 * do this at once, each gives its own.
 */
export async function replaceFile(
  file: string,
  text: string,
  mode = PRIVATE,
  draft = `${file}.new`,
): Promise<void> {
  await rm(draft, { force: true });
  await writeNewFile(draft, text, mode);
  try {
    await rename(draft, file);
  } catch (error) {
    await discard(draft);
    throw error;
  }
  await syncFolder(dirname(file));
}

/**
 * Creates a file that is safely on disk when this resolves. Fails with EEXIST when the file exists. Leaves no
 * file behind when it cannot write all of it.
 *
 * @param mode default: only the owner may read and write
 */
export async function writeNewFile(file: string, text: string, mode = PRIVATE): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      // Some file systems report a full disk only here.
      await handle.close();
    }
  } catch (error) {
    await discard(file);
    throw error;
  }
}

/** Ignores a failure: the caller reports the first error. */
async function discard(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => {});
}

/** Makes a rename survive a power cut, on systems that can open a folder. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems do not support this; they order their writes themselves.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'].includes(errnoOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
