import { join } from 'node:path';
import { TunnelError } from '../core/errors.js';
import type { Identity } from './identity.js';
import { replaceFile } from './replace_file.js';
import { type LockHolder, type RoleLock, takeRoleLock } from './role_lock.js';
import { newSealKey, type SealKey, seal } from './sealed.js';
import { openSealed, readStateFile, refusedFile } from './state_file.js';
import { closedFolder, inFolder } from './state_folder.js';
import { StateFault } from './state_json.js';
import {
  parseOpened,
  parseStateFile,
  plainText,
  type Role,
  type State,
  sealedText,
  sealLabel,
  textToSeal,
} from './state_text.js';

export type { Role, State } from './state_text.js';

export interface IdentityPlace {
  /** The state folder; made, for its owner alone, when it is not there. */
  readonly folder: string;
  readonly role: Role;
  /** Opens and seals the file; without it the file can be read by its owner's programs. Not empty. */
  readonly passphrase?: Uint8Array | undefined;
}

export interface OpenIdentityOptions extends IdentityPlace {
  /** When another process uses this identity: throw, or go without one. */
  readonly onBusy: 'fail' | 'ephemeral';
}

/** An identity that no other process uses until it is released. */
export interface OpenedIdentity {
  /** Undefined at the first start, and when it is ephemeral. */
  readonly identity: Identity | undefined;
  /** What was kept beside it, plain JSON that `src/access` checks; undefined when there is none. */
  readonly access: unknown;
  /** True when another process has the identity: nothing will be saved. */
  readonly ephemeral: boolean;
  /** True when a passphrase was given and the file is not encrypted yet: the next save does it. */
  readonly isSealDue: boolean;
  /**
   * Puts an identity in the file's place, all of it or nothing, and what is kept beside it;
   * without `access`, what was kept stays. Saves called at once are done one after the other.
   *
   * @throws {TunnelError} ERR_STATE_IO, ERR_LIMIT when it is too much, ERR_CLOSED after release
   */
  save(identity: Identity, access?: unknown): Promise<void>;
  /** Lets other processes have it, when all saves are done. Calling it again does nothing. */
  release(): Promise<void>;
}

/** Some thousand tickets; more is another kind of file. */
export const MAX_STATE_BYTES = 1024 * 1024;

/** What was read, and the key that it was sealed with. */
export interface SavedState {
  readonly state: State;
  readonly key: SealKey | undefined;
}

/**
 * Opens the identity of a role and locks it against other processes. A file that is damaged,
 * of another kind or of a newer version is refused, and left as it is.
 *
 * @throws {TunnelError} ERR_STATE_INVALID (the file), ERR_STATE_SEALED (the passphrase), ERR_STATE_IO (the folder), ERR_STATE_BUSY
 */
export async function openIdentity(options: OpenIdentityOptions): Promise<OpenedIdentity> {
  const { folder, role } = options;
  const answer = await inFolder(folder, async () => {
    await closedFolder(folder);
    return takeRoleLock(folder, role);
  });
  if (answer.kind === 'busy') {
    if (options.onBusy === 'fail') throw busyError(options, answer.holder);
    return {
      identity: undefined,
      access: undefined,
      ephemeral: true,
      isSealDue: false,
      save: async () => {},
      release: async () => {},
    };
  }
  try {
    return openedIdentity(options, answer.lock, await readSaved(options));
  } catch (error) {
    await answer.lock.release();
    throw error;
  }
}

/**
 * Reads the identity of a role without locking it, whoever uses it.
 *
 * @returns undefined when there is none
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO
 */
export async function readIdentity(place: IdentityPlace): Promise<Identity | undefined> {
  return (await readState(place))?.identity;
}

/** {@link readIdentity}, with what is kept beside it. */
export async function readState(place: IdentityPlace): Promise<State | undefined> {
  return (await readSaved(place))?.state;
}

/** Where the state of a role lies. */
export function stateFileOf({ folder, role }: IdentityPlace): string {
  return join(folder, `${role}.json`);
}

/** The text of a state file: sealed when there is a key. @throws {TunnelError} ERR_LIMIT */
export async function stateFileText(role: Role, state: State, key: SealKey | undefined): Promise<string> {
  const text =
    key === undefined
      ? plainText(role, state)
      : sealedText(role, await seal(key, textToSeal(state), sealLabel(role)));
  // What would not be read again is not written.
  if (Buffer.byteLength(text) > MAX_STATE_BYTES) {
    throw new TunnelError(
      'ERR_LIMIT',
      `the state of the ${role} would have more than ${MAX_STATE_BYTES} bytes; revoke tickets that nobody needs`,
    );
  }
  return text;
}

/** Reads the text of a state file that stands in `file`. @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED */
export async function readStateText(
  text: string,
  file: string,
  { role, passphrase }: Pick<IdentityPlace, 'role' | 'passphrase'>,
): Promise<SavedState> {
  try {
    const found = parseStateFile(text, role);
    if (found.kind === 'plain') return { state: found.state, key: undefined };
    const { text: opened, key } = await openSealed(file, found.sealed, passphrase, sealLabel(role));
    return { state: parseOpened(opened), key };
  } catch (error) {
    if (error instanceof StateFault) throw refusedFile(file, error.message);
    throw error;
  }
}

/** {@link readState}, with the key that it was sealed with. */
export async function readSaved(place: IdentityPlace): Promise<SavedState | undefined> {
  const file = stateFileOf(place);
  const text = await inFolder(place.folder, () => readStateFile(file, MAX_STATE_BYTES));
  return text === undefined ? undefined : readStateText(text, file, place);
}

function openedIdentity(place: IdentityPlace, lock: RoleLock, found: SavedState | undefined): OpenedIdentity {
  const { folder, role, passphrase } = place;
  let released = false;
  let access = found?.state.access;
  // Derived once: the salt stays, each save has a nonce of its own.
  let key = found?.key === undefined ? undefined : Promise.resolve(found.key);
  let saves: Promise<void> = Promise.resolve();
  return {
    identity: found?.state.identity,
    access,
    ephemeral: false,
    isSealDue: found !== undefined && found.key === undefined && passphrase !== undefined,
    save: async (identity, ...rest) => {
      if (released) throw new TunnelError('ERR_CLOSED', `the identity of the ${role} was released`);
      if (rest.length > 0) [access] = rest;
      if (passphrase !== undefined) key ??= newSealKey(passphrase);
      // What is saved is what it was when it was asked for.
      const state = { identity, access: structuredClone(access) };
      const save = saves.then(() =>
        inFolder(folder, async () =>
          replaceFile(stateFileOf(place), await stateFileText(role, state, await key)),
        ),
      );
      saves = save.catch(() => {});
      await save;
    },
    release: async () => {
      released = true;
      await saves;
      await inFolder(folder, () => lock.release());
    },
  };
}

/** For whoever finds the lock taken. @param wayOut what to do about it */
export function busyError(
  { folder, role }: IdentityPlace,
  holder: LockHolder,
  wayOut = 'run a second one with an identity of its own: --state DIR, or --ephemeral',
): TunnelError {
  const who = holder.pid === 0 ? 'another process' : `process ${holder.pid}`;
  const where =
    holder.host === undefined
      ? ''
      : ` on ${JSON.stringify(holder.host)} (if it is gone, delete ${holder.file})`;
  return new TunnelError('ERR_STATE_BUSY', `${who}${where} runs as the ${role} of ${folder}; ${wayOut}`);
}
