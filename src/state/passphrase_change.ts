import type { Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { awaitRoleLock } from './brief_lock.js';
import type { Role } from './identity_file.js';
import { busyError, type IdentityPlace, readSaved, stateFileOf, stateFileText } from './identity_file.js';
import { lockNames, namesFileOf, namesFileText, readSavedNames } from './names_file.js';
import type { RoleLock } from './role_lock.js';
import { newSealKey, type SealKey } from './sealed.js';
import { replaceStateFile } from './state_file.js';
import { closedFolder, exists, inFolder } from './state_folder.js';

const ROLES: readonly Role[] = ['listener', 'connector', 'node'];

export interface PassphraseChange {
  readonly folder: string;
  /** Opens the existing files; undefined when they are not encrypted. */
  readonly from: Uint8Array | undefined;
  /** Encrypts them from now on; undefined leaves them unencrypted. */
  readonly to: Uint8Array | undefined;
  /** Derives the key of each file. Default: {@link newSealKey}, which is slow on purpose. */
  readonly newKey?: ((passphrase: Uint8Array) => Promise<SealKey>) | undefined;
  /** For the wait until other processes have changed the files. Default: those of the system. */
  readonly timers?: Timers | undefined;
}

/**
 * Rewrites all state files of a folder, encrypted or not, with another passphrase, or without one. It locks and reads
 * all files before it writes the first, so that a wrong passphrase changes nothing, and replaces each file atomically.
 * If an earlier call was interrupted between two files, this call skips the files that it completed.
 *
 * @returns the files that it wrote
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO, ERR_STATE_BUSY
 */
export async function changePassphrase(change: PassphraseChange): Promise<string[]> {
  const { folder, to, newKey = newSealKey } = change;
  const locks: RoleLock[] = [];
  return inFolder(folder, async () => {
    const papers: Paper[] = [];
    for (const paper of papersIn(folder, change.timers)) if (await exists(paper.file)) papers.push(paper);
    if (papers.length === 0) return [];
    await closedFolder(folder);
    try {
      const found: Array<readonly [string, Saved]> = [];
      for (const paper of papers) {
        locks.push(await paper.lock());
        const saved = await readUnlessDone(paper, change);
        if (saved !== undefined) found.push([paper.file, saved]);
      }
      for (const [file, { text }] of found) {
        const key = to === undefined ? undefined : await newKey(to);
        await replaceStateFile(file, await text(key));
      }
      return found.map(([file]) => file);
    } finally {
      for (const lock of locks) await lock.release();
    }
  });
}

/** A file that may be encrypted. */
interface Paper {
  readonly file: string;
  lock(): Promise<RoleLock>;
  read(passphrase: Uint8Array | undefined): Promise<Saved | undefined>;
}

/** The content of such a file, ready to be rewritten. */
interface Saved {
  readonly isSealed: boolean;
  text(key: SealKey | undefined): Promise<string>;
}

function papersIn(folder: string, timers: Timers | undefined): Paper[] {
  const names: Paper = {
    file: namesFileOf({ folder }),
    lock: () => lockNames(folder, timers),
    read: async (passphrase) => {
      const saved = await readSavedNames({ folder, passphrase, acceptsPlain: true });
      return saved && { isSealed: saved.key !== undefined, text: (key) => namesFileText(saved.names, key) };
    },
  };
  return [...ROLES.map((role) => identityPaper({ folder, role }, timers)), names];
}

function identityPaper(place: IdentityPlace, timers: Timers | undefined): Paper {
  return {
    file: stateFileOf(place),
    lock: async () => {
      const answer = await awaitRoleLock(place.folder, place.role, { isBrief: true, timers });
      if (answer.kind === 'busy') throw busyError(place, answer.holder, 'stop it first');
      return answer.lock;
    },
    read: async (passphrase) => {
      const saved = await readSaved({ ...place, passphrase, acceptsPlain: true });
      return (
        saved && {
          isSealed: saved.key !== undefined,
          text: (key) => stateFileText(place.role, saved.state, key),
        }
      );
    },
  };
}

/** Reads a file. @returns undefined when there is no file, or nothing to change in it */
async function readUnlessDone(paper: Paper, { from, to }: PassphraseChange): Promise<Saved | undefined> {
  try {
    const saved = await paper.read(from);
    return saved?.isSealed !== true && to === undefined ? undefined : saved;
  } catch (error) {
    if (!TunnelError.is(error) || error.code !== 'ERR_STATE_SEALED' || to === undefined) throw error;
    // An interrupted earlier call may have done this file. If not, the first error is the right one.
    const isDone = await paper.read(to).then(
      () => true,
      () => false,
    );
    if (isDone) return undefined;
    throw error;
  }
}
