import { join } from 'node:path';
import * as v from 'valibot';
import type { Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { takeBriefLock } from './brief_lock.js';
import type { RoleLock } from './role_lock.js';
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

/** Longest file, in bytes: enough for thousands of names. */
const MAX_NAMES_BYTES = 1024 * 1024;

export interface NamesPlace extends Sealing {
  /** The state folder. A write creates it, and lets only its owner enter. */
  readonly folder: string;
  /** For the wait until another process has changed the file. Default: those of the system. */
  readonly timers?: Timers | undefined;
}

/** The names in a file, and the key that it is sealed with, if any. */
export interface SavedNames {
  readonly names: Names;
  readonly key: SealKey | undefined;
}

/** Path of the file with the names. */
export function namesFileOf({ folder }: Pick<NamesPlace, 'folder'>): string {
  return join(folder, 'names.json');
}

/**
 * Reads the names of a state folder; an empty map when there is no file.
 *
 * @throws {TunnelError} ERR_STATE_INVALID (the file), ERR_STATE_SEALED (the passphrase), ERR_STATE_IO
 */
export async function readNames(place: NamesPlace): Promise<Names> {
  return (await readSavedNames(place))?.names ?? new Map();
}

/** Like {@link readNames}, with the key of the file. @returns undefined when there is no file */
export async function readSavedNames(place: NamesPlace): Promise<SavedNames | undefined> {
  const file = namesFileOf(place);
  const text = await inFolder(place.folder, async () => {
    await checkFolder(place.folder);
    return readStateFile(file, MAX_NAMES_BYTES);
  });
  if (text === undefined) return undefined;
  try {
    const found = parseNamesFile(text);
    if (found.kind === 'plain') {
      expectPlainAllowed(file, place);
      return { names: found.names, key: undefined };
    }
    const opened = await openSealed(file, found.sealed, place.passphrase, NAMES_SEAL_LABEL);
    return { names: parseOpenedNames(opened.text), key: opened.key };
  } catch (error) {
    if (error instanceof StateFault) throw refusedFile(file, error.message);
    throw error;
  }
}

/**
 * Changes the names atomically, one process at a time.
 *
 * @param change returns the new names, or its argument to write nothing
 * @throws {TunnelError} as {@link readNames}; ERR_STATE_BUSY, ERR_LIMIT
 */
export async function changeNames(place: NamesPlace, change: (names: Names) => Names): Promise<void> {
  const { folder, passphrase, timers } = place;
  await inFolder(folder, async () => {
    await closedFolder(folder);
    const lock = await lockNames(folder, timers);
    try {
      const saved = await readSavedNames(place);
      const before: Names = saved?.names ?? new Map();
      const names = change(before);
      if (names === before) return;
      const key = saved?.key ?? (passphrase === undefined ? undefined : await newSealKey(passphrase));
      await replaceStateFile(namesFileOf(place), await namesFileText(names, key));
    } finally {
      await lock.release();
    }
  });
}

/** Keeps other processes from changing the names. Waits briefly for them. @throws {TunnelError} ERR_STATE_BUSY */
export function lockNames(folder: string, timers?: Timers): Promise<RoleLock> {
  return takeBriefLock(folder, 'names', timers);
}

/** The text of a names file: sealed when there is a key. @throws {TunnelError} ERR_LIMIT */
export async function namesFileText(names: Names, key: SealKey | undefined): Promise<string> {
  const text =
    key === undefined
      ? plainNamesText(names)
      : sealedNamesText(await seal(key, namesTextToSeal(names), NAMES_SEAL_LABEL));
  // Never write a file that could not be read again.
  if (Buffer.byteLength(text) > MAX_NAMES_BYTES) {
    throw new TunnelError(
      'ERR_LIMIT',
      `the names would have more than ${MAX_NAMES_BYTES} bytes; remove some that nobody needs`,
    );
  }
  return text;
}

/** The user's names for listeners, each with the text of a ticket or a Tox ID. */
export type Names = ReadonlyMap<string, string>;

/** The content of a names file: the names, or encrypted text. */
export type NamesFile =
  | { readonly kind: 'plain'; readonly names: Names }
  | { readonly kind: 'sealed'; readonly sealed: Sealed };

const KIND = 'tox-wasm-tunnel names';
const VERSION = 1;

/** Keeps text that was sealed as names from being opened as an identity. */
export const NAMES_SEAL_LABEL = KIND;

const NamesSchema = v.object({
  names: v.array(v.object({ name: v.string(), remote: v.string() }), 'expected a list of names'),
});

/** Reads the text of a names file. @throws {StateFault} whose message quotes nothing from the text */
export function parseNamesFile(text: string): NamesFile {
  const json = parseJson(text);
  const head = v.safeParse(v.object({ kind: v.literal(KIND), version: v.number() }), json);
  if (!head.success) throw new StateFault('it is not a list of tox-wasm-tunnel names');
  const { version } = head.output;
  if (version !== VERSION)
    throw new StateFault(`it has version ${version}, but this program reads version ${VERSION}`);
  const box = v.safeParse(v.object({ encrypted: v.unknown() }), json);
  if (box.success)
    return { kind: 'sealed', sealed: checked(SealedSchema, box.output.encrypted, 'encrypted.') };
  return { kind: 'plain', names: namesIn(json) };
}

/** Reads the decrypted text. @throws {StateFault} like {@link parseNamesFile} */
export function parseOpenedNames(text: string): Names {
  return namesIn(parseJson(text));
}

/** The text of an unencrypted file. */
export function plainNamesText(names: Names): string {
  return fileText(bodyOf(names));
}

/** The text to encrypt. */
export function namesTextToSeal(names: Names): string {
  return JSON.stringify(bodyOf(names));
}

/** The text of an encrypted file. */
export function sealedNamesText(sealed: Sealed): string {
  return fileText({ encrypted: sealed });
}

function fileText(body: object): string {
  return `${JSON.stringify({ version: VERSION, kind: KIND, ...body }, null, 2)}\n`;
}

function bodyOf(names: Names): object {
  return { names: [...names].map(([name, remote]) => ({ name, remote })) };
}

function namesIn(json: unknown): Names {
  const { names: list } = checked(NamesSchema, json, '');
  const names = new Map(list.map(({ name, remote }) => [name, remote]));
  if (names.size < list.length) throw new StateFault('it has a name twice');
  return names;
}
