import { constants, copyFile, link } from 'node:fs/promises';
import type { Timers } from '../core/clock.js';
import { errnoOf, TunnelError } from '../core/errors.js';
import { systemReason } from '../core/system_error.js';
import { awaitRoleLock } from './brief_lock.js';
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
import { newSealKey } from './sealed.js';
import { closedFolder, exists, inFolder } from './state_folder.js';

/**
 * Exports the state of a role in the format of its file, sealed when there is a passphrase.
 *
 * @returns undefined when the role has no state
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

/** Writes an export to a new file that only its owner may use. @throws {TunnelError} ERR_STATE_IO, also when the file exists */
export async function writeExport(file: string, text: string): Promise<void> {
  try {
    await writeNewFile(file, text);
  } catch (error) {
    const why =
      errnoOf(error) === 'EEXIST'
        ? 'it exists already and was left unchanged; choose another name'
        : `it cannot be written: ${systemReason(error)}`;
    throw new TunnelError('ERR_STATE_IO', `${file}: ${why}`, { cause: error });
  }
}

export interface ImportOptions extends IdentityPlace {
  readonly text: string;
  /** Where the text comes from, for errors. */
  readonly origin: string;
  /** Whether it may replace an existing identity, whose file is kept under another name. */
  readonly replace: boolean;
  /** For the wait until another process has changed the identity. Default: those of the system. */
  readonly timers?: Timers | undefined;
}

export interface Imported {
  readonly identity: Identity;
  /** The file that keeps the previous identity. */
  readonly kept: string | undefined;
}

/**
 * Imports an exported state as the state of a role, sealed when there is a passphrase. An existing state, damaged or
 * not, makes this fail, or is kept in a file next to it.
 *
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_EXISTS, ERR_STATE_IO, ERR_STATE_BUSY
 */
export async function importState(options: ImportOptions): Promise<Imported> {
  const { folder, role, passphrase, text, origin, replace, timers } = options;
  const { state, key: found } = await readStateText(text, origin, { ...options, acceptsPlain: true });
  const key = found ?? (passphrase === undefined ? undefined : await newSealKey(passphrase));
  const next = await stateFileText(role, state, key);
  return inFolder(folder, async () => {
    await closedFolder(folder);
    const answer = await awaitRoleLock(folder, role, { isBrief: true, timers });
    if (answer.kind === 'busy') throw busyError(options, answer.holder, 'stop it first');
    try {
      const file = stateFileOf(options);
      // The lock keeps other processes out.
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
    `${file}: it was left unchanged; with --replace the new identity takes its place, and the old file is kept next to it`,
  );
}

/** Gives the existing file a second name, so that the first one never disappears. @returns the new name */
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
    // Some file systems have no hard links.
    await copyFile(file, other, constants.COPYFILE_EXCL);
  }
}
