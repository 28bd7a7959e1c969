import { join } from 'node:path';
import * as v from 'valibot';
import type { Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { WAY_OUT } from '../core/file_access.js';
import { NOSPAM_BYTES, SECRET_KEY_BYTES } from '../core/tox_network.js';
import { hexBytes } from '../network/tox_id.js';
import { awaitRoleLock, briefAdvice, holderText } from './brief_lock.js';
import { type Identity, identityOf, publicKeyOf } from './identity.js';
import type { LockHolder, RoleLock } from './role_lock.js';
import { newSealKey, type Sealed, SealedSchema, type SealKey, seal } from './sealed.js';
import {
  checked,
  expectPlainAllowed,
  openSealed,
  parseJson,
  readStateFile,
  refusedFile,
  replaceStateFile,
  type Sealing,
  StateFault,
} from './state_file.js';
import { checkFolder, closedFolder, inFolder } from './state_folder.js';

export interface IdentityPlace extends Sealing {
  /** The state folder. {@link openIdentity} creates it, and lets only its owner enter. */
  readonly folder: string;
  readonly role: Role;
  /** Whether errors advise `--ephemeral`: the command must have it. Default false. */
  readonly advisesEphemeral?: boolean;
}

export interface OpenIdentityOptions extends IdentityPlace {
  /** What to do when another process uses this identity: throw, or run without a saved identity. */
  readonly onBusy: 'fail' | 'ephemeral';
  /** Whether the caller releases the identity in a moment, so that others wait for it. Default false. */
  readonly isBrief?: boolean;
  /** For the wait until another process has released it. Default: those of the system. */
  readonly timers?: Timers | undefined;
}

/** An identity that no other process can use until it is released. */
export interface OpenedIdentity {
  /** Undefined at the first start, and when {@link ephemeral} is true. */
  readonly identity: Identity | undefined;
  /** The saved access state, plain JSON that `src/access` checks; undefined when there is none. */
  readonly access: unknown;
  /** True when another process has the identity: then {@link save} does nothing. */
  readonly ephemeral: boolean;
  /**
   * Replaces the file, all of it or nothing. Concurrent saves run one after the other.
   *
   * @param access default: the access state of the last save
   * @throws {TunnelError} ERR_STATE_IO, ERR_LIMIT when the file would be too long, ERR_CLOSED after release
   */
  save(identity: Identity, access?: unknown): Promise<void>;
  /** Waits for all saves, then lets other processes use the identity. A second call does nothing. */
  release(): Promise<void>;
}

/** Longest file, in bytes: enough for thousands of tickets. */
export const MAX_STATE_BYTES = 1024 * 1024;

/** The state in a file, and the key that it is sealed with, if any. */
export interface SavedState {
  readonly state: State;
  readonly key: SealKey | undefined;
}

/**
 * Opens the identity of a role and locks it against other processes. Waits briefly for one that only changes it, but
 * not for one that runs with it. Refuses a file that is damaged, of another kind or of a newer version, and leaves it
 * unchanged.
 *
 * @throws {TunnelError} ERR_STATE_INVALID (the file), ERR_STATE_SEALED (the passphrase), ERR_STATE_IO (the folder),
 *   ERR_STATE_BUSY
 */
export async function openIdentity(options: OpenIdentityOptions): Promise<OpenedIdentity> {
  const { folder, role, isBrief = false, timers } = options;
  const answer = await inFolder(
    folder,
    async () => {
      await closedFolder(folder);
      return awaitRoleLock(folder, role, { isBrief, timers });
    },
    wayOutOf(options),
  );
  if (answer.kind === 'busy') {
    if (options.onBusy === 'fail') throw busyError(options, answer.holder);
    return {
      identity: undefined,
      access: undefined,
      ephemeral: true,
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
 * Reads the identity of a role without a lock, even while another process uses it.
 *
 * @returns undefined when there is no file
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO
 */
export async function readIdentity(place: IdentityPlace): Promise<Identity | undefined> {
  return (await readState(place))?.identity;
}

/** Like {@link readIdentity}, with the access state. */
export async function readState(place: IdentityPlace): Promise<State | undefined> {
  return (await readSaved(place))?.state;
}

/** Path of the state file of a role. */
export function stateFileOf({ folder, role }: IdentityPlace): string {
  return join(folder, `${role}.json`);
}

/** The text of a state file: sealed when there is a key. @throws {TunnelError} ERR_LIMIT */
export async function stateFileText(role: Role, state: State, key: SealKey | undefined): Promise<string> {
  const text =
    key === undefined
      ? plainText(role, state)
      : sealedText(role, await seal(key, textToSeal(state), sealLabel(role)));
  // Never write a file that could not be read again.
  if (Buffer.byteLength(text) > MAX_STATE_BYTES) {
    throw new TunnelError(
      'ERR_LIMIT',
      `the state of the ${role} would have more than ${MAX_STATE_BYTES} bytes; revoke tickets that nobody needs`,
    );
  }
  return text;
}

/**
 * Reads the text of a state file.
 *
 * @param file where the text comes from, for the error
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_SEALED
 */
export async function readStateText(
  text: string,
  file: string,
  place: Omit<IdentityPlace, 'folder'>,
): Promise<SavedState> {
  const { role, passphrase } = place;
  const wayOut = wayOutOf(place);
  try {
    const found = parseStateFile(text, role);
    if (found.kind === 'plain') {
      expectPlainAllowed(file, place);
      return { state: found.state, key: undefined };
    }
    const { text: opened, key } = await openSealed(file, found.sealed, passphrase, sealLabel(role), wayOut);
    return { state: parseOpened(opened), key };
  } catch (error) {
    if (error instanceof StateFault) throw refusedFile(file, error.message, wayOut);
    throw error;
  }
}

/** Like {@link readState}, with the key of the file. */
export async function readSaved(place: IdentityPlace): Promise<SavedState | undefined> {
  const file = stateFileOf(place);
  const text = await inFolder(
    place.folder,
    async () => {
      await checkFolder(place.folder);
      return readStateFile(file, MAX_STATE_BYTES, wayOutOf(place));
    },
    wayOutOf(place),
  );
  return text === undefined ? undefined : readStateText(text, file, place);
}

function openedIdentity(place: IdentityPlace, lock: RoleLock, found: SavedState | undefined): OpenedIdentity {
  const { folder, role, passphrase } = place;
  let released = false;
  let access = found?.state.access;
  // Derive the key once: the salt stays the same, and every save uses a fresh nonce.
  let key = found?.key === undefined ? undefined : Promise.resolve(found.key);
  let saves: Promise<void> = Promise.resolve();
  return {
    identity: found?.state.identity,
    access,
    ephemeral: false,
    save: async (identity, ...rest) => {
      if (released) throw new TunnelError('ERR_CLOSED', `the identity of the ${role} was released`);
      if (rest.length > 0) [access] = rest;
      if (passphrase !== undefined) key ??= newSealKey(passphrase);
      // Save the state as it is now, not as it will be when the file is written.
      const state = { identity, access: structuredClone(access) };
      const save = saves.then(() =>
        inFolder(folder, async () =>
          replaceStateFile(stateFileOf(place), await stateFileText(role, state, await key)),
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

/** The error for a lock that another process holds. @param wayOut what to do about it */
export function busyError(
  { folder, role, advisesEphemeral = false }: IdentityPlace,
  holder: LockHolder,
  wayOut = advisesEphemeral
    ? 'run a second one with its own identity: --state DIR, or --ephemeral'
    : 'try again when it has started, or choose another folder with --state DIR',
): TunnelError {
  const [does, advice] = holder.isBrief
    ? [`is changing the identity of the ${role} in`, briefAdvice(holder)]
    : [`runs as the ${role} of`, wayOut];
  return new TunnelError('ERR_STATE_BUSY', `${holderText(holder)} ${does} ${folder}; ${advice}`);
}

const wayOutOf = ({ advisesEphemeral = false }: Pick<IdentityPlace, 'advisesEphemeral'>): string =>
  advisesEphemeral ? `${WAY_OUT}, or run without one with --ephemeral` : WAY_OUT;

/** The role of a process. Each role has its own identity, so that all roles can run at the same time. */
export type Role = 'listener' | 'connector' | 'node';

/** The content of a state file. */
export interface State {
  readonly identity: Identity;
  /** The access state: plain JSON that `src/access` checks. Undefined when there is none. */
  readonly access: unknown;
}

/** What a state file contains: the state, or encrypted text. */
export type StateFile =
  | { readonly kind: 'plain'; readonly state: State }
  | { readonly kind: 'sealed'; readonly sealed: Sealed };

const KIND = 'tox-wasm-tunnel identity';
/** Version 1 had neither `access` nor encryption. We still read it, and write it as version 2. */
const VERSION = 2;
const READ_VERSIONS: readonly number[] = [1, VERSION];

const hex = (bytes: number) =>
  v.pipe(
    v.string('expected hexadecimal digits'),
    v.regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `expected ${bytes * 2} hexadecimal digits`),
    v.transform(hexBytes),
  );

const StateSchema = v.object({
  secretKey: hex(SECRET_KEY_BYTES),
  // Detects a damaged secret key, and shows people whose file this is.
  publicKey: hex(SECRET_KEY_BYTES),
  nospam: v.optional(hex(NOSPAM_BYTES), '00'.repeat(NOSPAM_BYTES)),
  access: v.optional(v.record(v.string(), v.unknown(), 'expected an object')),
});

/**
 * Reads the text of a state file.
 *
 * @throws {StateFault} whose message quotes nothing from the text, which may be secret
 */
export function parseStateFile(text: string, role: Role): StateFile {
  const json = parseJson(text);
  const head = v.safeParse(v.object({ kind: v.literal(KIND), version: v.number(), role: v.string() }), json);
  if (!head.success) throw new StateFault('it is not a tox-wasm-tunnel identity');
  const { version, role: found } = head.output;
  if (!READ_VERSIONS.includes(version)) {
    throw new StateFault(
      `it has version ${version}, but this program reads version ${VERSION} and older ones`,
    );
  }
  if (found !== role) {
    throw new StateFault(`it is the identity of a ${JSON.stringify(found.slice(0, 20))}, not of a ${role}`);
  }
  const box = v.safeParse(v.object({ encrypted: v.unknown() }), json);
  if (box.success)
    return { kind: 'sealed', sealed: checked(SealedSchema, box.output.encrypted, 'encrypted.') };
  return { kind: 'plain', state: stateOf(json) };
}

/**
 * Reads the decrypted text.
 *
 * @throws {StateFault} like {@link parseStateFile}
 */
export function parseOpened(text: string): State {
  return stateOf(parseJson(text));
}

/** The text of an unencrypted state file. */
export function plainText(role: Role, state: State): string {
  return fileText(role, bodyOf(state));
}

/** The text to encrypt. */
export function textToSeal(state: State): string {
  return JSON.stringify(bodyOf(state));
}

/** The text of an encrypted state file. */
export function sealedText(role: Role, sealed: Sealed): string {
  return fileText(role, { encrypted: sealed });
}

/** Keeps text that was sealed for one role from being opened for another. */
export function sealLabel(role: Role): string {
  return `${KIND}/${role}`;
}

function fileText(role: Role, body: object): string {
  return `${JSON.stringify({ version: VERSION, kind: KIND, role, ...body }, null, 2)}\n`;
}

function bodyOf({ identity: { secretKey, nospam }, access }: State): object {
  if (secretKey.length !== SECRET_KEY_BYTES || nospam.length !== NOSPAM_BYTES) {
    throw new RangeError(`an identity of ${secretKey.length} and ${nospam.length} bytes`);
  }
  return {
    secretKey: Buffer.from(secretKey).toString('hex'),
    publicKey: Buffer.from(publicKeyOf(secretKey)).toString('hex'),
    nospam: Buffer.from(nospam).toString('hex'),
    ...(access === undefined ? {} : { access }),
  };
}

function stateOf(json: unknown): State {
  const { secretKey, publicKey, nospam, access } = checked(StateSchema, json, '');
  if (Buffer.compare(publicKeyOf(secretKey), publicKey) !== 0) {
    throw new StateFault('its secret key and its public key do not match');
  }
  return { identity: identityOf(secretKey, nospam), access };
}
