import { join } from 'node:path';
import { TunnelError } from '../core/errors.js';
import {
  NAMES_SEAL_LABEL,
  type Names,
  namesTextToSeal,
  parseNamesFile,
  parseOpenedNames,
  plainNamesText,
  sealedNamesText,
} from './names_text.js';
import { replaceFile } from './replace_file.js';
import { type RoleLock, takeRoleLock } from './role_lock.js';
import { newSealKey, type SealKey, seal } from './sealed.js';
import { openSealed, readStateFile, refusedFile } from './state_file.js';
import { closedFolder, inFolder } from './state_folder.js';
import { StateFault } from './state_json.js';

/** Some thousand names. */
const MAX_NAMES_BYTES = 1024 * 1024;

export interface NamesPlace {
  /** The state folder; made, for its owner alone, when it is not there and something is written. */
  readonly folder: string;
  /** Opens and seals the file; without it the file can be read by its owner's programs. Not empty. */
  readonly passphrase?: Uint8Array | undefined;
}

/** What was read, and the key that it was sealed with. */
export interface SavedNames {
  readonly names: Names;
  readonly key: SealKey | undefined;
}

/** Where the names lie. */
export function namesFileOf({ folder }: Pick<NamesPlace, 'folder'>): string {
  return join(folder, 'names.json');
}

/**
 * The names of a state folder; none when there is no file.
 *
 * @throws {TunnelError} ERR_STATE_INVALID (the file), ERR_STATE_SEALED (the passphrase), ERR_STATE_IO
 */
export async function readNames(place: NamesPlace): Promise<Names> {
  return (await readSavedNames(place))?.names ?? new Map();
}

/** {@link readNames}, with the key that they were sealed with; undefined when there is no file. */
export async function readSavedNames(place: NamesPlace): Promise<SavedNames | undefined> {
  const file = namesFileOf(place);
  const text = await inFolder(place.folder, () => readStateFile(file, MAX_NAMES_BYTES));
  if (text === undefined) return undefined;
  try {
    const found = parseNamesFile(text);
    if (found.kind === 'plain') return { names: found.names, key: undefined };
    const opened = await openSealed(file, found.sealed, place.passphrase, NAMES_SEAL_LABEL);
    return { names: parseOpenedNames(opened.text), key: opened.key };
  } catch (error) {
    if (error instanceof StateFault) throw refusedFile(file, error.message);
    throw error;
  }
}

/**
 * Changes the names, one process at a time, all of the change or nothing. With a passphrase a file
 * that was plain is sealed.
 *
 * @param change gives the names as they shall be, or the same ones: then nothing is written
 * @throws {TunnelError} as {@link readNames}; ERR_STATE_BUSY, ERR_LIMIT
 */
export async function changeNames(place: NamesPlace, change: (names: Names) => Names): Promise<void> {
  const { folder, passphrase } = place;
  await inFolder(folder, async () => {
    await closedFolder(folder);
    const lock = await lockNames(folder);
    try {
      const saved = await readSavedNames(place);
      const before: Names = saved?.names ?? new Map();
      const names = change(before);
      if (names === before) return;
      const key = saved?.key ?? (passphrase === undefined ? undefined : await newSealKey(passphrase));
      await replaceFile(namesFileOf(place), await namesFileText(names, key));
    } finally {
      await lock.release();
    }
  });
}

/** Keeps other processes from changing the names. @throws {TunnelError} ERR_STATE_BUSY */
export async function lockNames(folder: string): Promise<RoleLock> {
  const answer = await takeRoleLock(folder, 'names');
  if (answer.kind === 'held') return answer.lock;
  const { pid, host, file } = answer.holder;
  const where = host === undefined ? '' : ` on ${JSON.stringify(host)} (if it is gone, delete ${file})`;
  throw new TunnelError(
    'ERR_STATE_BUSY',
    `process ${pid}${where} is changing the names in ${folder}; try again`,
  );
}

/** The text of a names file: sealed when there is a key. @throws {TunnelError} ERR_LIMIT */
export async function namesFileText(names: Names, key: SealKey | undefined): Promise<string> {
  const text =
    key === undefined
      ? plainNamesText(names)
      : sealedNamesText(await seal(key, namesTextToSeal(names), NAMES_SEAL_LABEL));
  // What would not be read again is not written.
  if (Buffer.byteLength(text) > MAX_NAMES_BYTES) {
    throw new TunnelError(
      'ERR_LIMIT',
      `the names would have more than ${MAX_NAMES_BYTES} bytes; remove some that nobody needs`,
    );
  }
  return text;
}
