import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../core/errno.js';

/**
 * Puts the text in the file's place so that a crash at any moment leaves the old one or the new
 * one whole. One caller at a time, so the draft needs one name, and the next call writes over what
 * a crash left.
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.new`;
  await rm(draft, { force: true });
  await writeNewFile(draft, text);
  await rename(draft, file);
  await syncFolder(dirname(file));
}

/** Makes a file for its owner alone, on the disk when this resolves; fails with EEXIST where there is one. */
export async function writeNewFile(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
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
