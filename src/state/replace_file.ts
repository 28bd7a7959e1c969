import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../core/errors.js';

/** For its owner alone. */
const PRIVATE = 0o600;

/**
 * Puts the text in the file's place so that a crash or a full disk at any moment leaves the old one or the
 * new one whole. One caller at a time, so the draft needs one name, and the next call writes over what
 * a crash left.
 */
export async function replaceFile(file: string, text: string, mode = PRIVATE): Promise<void> {
  const draft = `${file}.new`;
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
 * Makes a file, for its owner alone unless told otherwise, on the disk when this resolves. Fails with EEXIST where
 * there is one, and leaves none behind when it cannot be written whole.
 */
export async function writeNewFile(file: string, text: string, mode = PRIVATE): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      // Some file systems find only here that the disk is full.
      await handle.close();
    }
  } catch (error) {
    await discard(file);
    throw error;
  }
}

/** What cannot be deleted either stays: the first error is the one to tell. */
async function discard(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => {});
}

/** Makes a rename last through a power cut, where the system lets a folder be opened. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems cannot; then they keep their own order.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'].includes(errnoOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
