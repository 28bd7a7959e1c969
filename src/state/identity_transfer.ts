import { constants, copyFile, link } from 'node:fs/promises';
import { errnoOf, TunnelError } from '../core/errors.js';
import type { Identity } from './identity.js';
import {
  busyError,
  type IdentityPlace,
  readSaved,
  readStateText,
  stateFileOf,
  stateFileText,
} from './identity_file.js';
import { replaceFile, writeNewFile } from './replace_file.js';
import { takeRoleLock } from './role_lock.js';
import { newSealKey } from './sealed.js';
import { closedFolder, exists, inFolder } from './state_folder.js';

/**
 * The state of a role for keeping elsewhere, in the form of its file: sealed when there is a
 * passphrase.
 *
 * @returns undefined when there is none
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO
 */
export async function exportState(
  place: IdentityPlace,
): Promise<{ readonly identity: Identity; readonly text: string; readonly isSealed: boolean } | undefined> {
  const saved = await readSaved(place);
  if (saved === undefined) return undefined;
  const { passphrase } = place;
  const key = saved.key ?? (passphrase === undefined ? undefined : await newSealKey(passphrase));
  const text = await stateFileText(place.role, saved.state, key);
  return { identity: saved.state.identity, text, isSealed: key !== undefined };
}

/** Writes an export for its owner alone. @throws {TunnelError} ERR_STATE_IO, also when the file is there already */
export async function writeExport(file: string, text: string): Promise<void> {
  try {
    await writeNewFile(file, text);
  } catch (error) {
    const why =
      errnoOf(error) === 'EEXIST'
        ? 'it is there already, and was left as it is; choose another name'
        : `it cannot be written: ${error instanceof Error ? error.message : String(error)}`;
    throw new TunnelError('ERR_STATE_IO', `${file}: ${why}`, { cause: error });
  }
}

export interface ImportOptions extends IdentityPlace {
  readonly text: string;
  /** Where the text is from, for errors. */
  readonly origin: string;
  /** Whether an identity that is there may be put aside. */
  readonly replace: boolean;
}

export interface Imported {
  readonly identity: Identity;
  /** Where the identity lies that was there before. */
  readonly kept: string | undefined;
}

/**
 * Puts an exported state in the place of a role, sealed when there is a passphrase. One that is
 * there is refused or kept beside it, damaged or not.
 *
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_EXISTS, ERR_STATE_IO, ERR_STATE_BUSY
 */
export async function importState(options: ImportOptions): Promise<Imported> {
  const { folder, role, passphrase, text, origin, replace } = options;
  const { state, key: found } = await readStateText(text, origin, options);
  const key = found ?? (passphrase === undefined ? undefined : await newSealKey(passphrase));
  const next = await stateFileText(role, state, key);
  return inFolder(folder, async () => {
    await closedFolder(folder);
    const answer = await takeRoleLock(folder, role);
    if (answer.kind === 'busy') throw busyError(options, answer.holder, 'end it first');
    try {
      const file = stateFileOf(options);
      // Who has the lock is alone here.
      if (!replace && (await exists(file))) throw inPlace(file);
      const kept = replace ? await putAside(file) : undefined;
      await replaceFile(file, next);
      return { identity: state.identity, kept };
    } finally {
      await answer.lock.release();
    }
  });
}

function inPlace(file: string): TunnelError {
  return new TunnelError(
    'ERR_STATE_EXISTS',
    `${file}: it was left as it is; with --replace the new one takes its place and the old file is kept beside it`,
  );
}

/** Another name for the file that is there, so that no moment is without it. @returns the name */
async function putAside(file: string): Promise<string | undefined> {
  for (let number = 1; ; number++) {
    const kept = `${file}.old.${number}`;
    try {
      await nameAlso(file, kept);
      return kept;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  }
}

async function nameAlso(file: string, other: string): Promise<void> {
  try {
    await link(file, other);
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
    // File systems without links.
    await copyFile(file, other, constants.COPYFILE_EXCL);
  }
}
