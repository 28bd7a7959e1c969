import { TunnelError } from '../core/errors.js';
import {
  busyError,
  type IdentityPlace,
  readSaved,
  type SavedState,
  stateFileOf,
  stateFileText,
} from './identity_file.js';
import { replaceFile } from './replace_file.js';
import { type RoleLock, takeRoleLock } from './role_lock.js';
import { newSealKey } from './sealed.js';
import { closedFolder, exists, inFolder } from './state_folder.js';
import type { Role } from './state_text.js';

const ROLES: readonly Role[] = ['listener', 'connector', 'node'];

export interface PassphraseChange {
  readonly folder: string;
  /** Opens the files that are there; undefined when they are not encrypted. */
  readonly from: Uint8Array | undefined;
  /** Seals them from now on; undefined: nothing does. */
  readonly to: Uint8Array | undefined;
}

/**
 * Writes all state files of a folder anew, under another passphrase or under none. All are locked and
 * read before the first is written, so that a wrong passphrase changes nothing; each is replaced whole.
 * Where an earlier call was cut off between two files, those that it wrote are left as they are.
 *
 * @returns the files that were written
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO, ERR_STATE_BUSY
 */
export async function changePassphrase(change: PassphraseChange): Promise<string[]> {
  const { folder, to } = change;
  const locks: RoleLock[] = [];
  return inFolder(folder, async () => {
    const roles: Role[] = [];
    for (const role of ROLES) if (await exists(stateFileOf({ folder, role }))) roles.push(role);
    if (roles.length === 0) return [];
    await closedFolder(folder);
    try {
      const found: (readonly [IdentityPlace, SavedState])[] = [];
      for (const role of roles) {
        const answer = await takeRoleLock(folder, role);
        if (answer.kind === 'busy') throw busyError({ folder, role }, answer.holder, 'end it first');
        locks.push(answer.lock);
        const saved = await readUnlessDone({ folder, role }, change);
        if (saved !== undefined) found.push([{ folder, role }, saved]);
      }
      for (const [place, { state }] of found) {
        const key = to === undefined ? undefined : await newSealKey(to);
        await replaceFile(stateFileOf(place), await stateFileText(place.role, state, key));
      }
      return found.map(([place]) => stateFileOf(place));
    } finally {
      for (const lock of locks) await lock.release();
    }
  });
}

/** Undefined when there is no file, or it is as it shall be. */
async function readUnlessDone(
  place: IdentityPlace,
  { from, to }: PassphraseChange,
): Promise<SavedState | undefined> {
  try {
    const saved = await readSaved({ ...place, passphrase: from });
    return saved?.key === undefined && to === undefined ? undefined : saved;
  } catch (error) {
    if (!TunnelError.is(error) || error.code !== 'ERR_STATE_SEALED' || to === undefined) throw error;
    // By an earlier call, which was cut off, perhaps; else the first error tells what is wrong.
    const isDone = await readSaved({ ...place, passphrase: to }).then(
      () => true,
      () => false,
    );
    if (isDone) return undefined;
    throw error;
  }
}
