import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from '../../src/state/identity.js';
import { type Role, sealedText, sealLabel, textToSeal } from '../../src/state/identity_file.js';
import { type Names, namesFileOf, namesFileText } from '../../src/state/names_file.js';
import { type SealKey, seal, sealKeyOf } from '../../src/state/sealed.js';

/** The lowest cost that a file may state, so that a key takes a millisecond and not half a second. */
const CHEAP = { kdf: 'argon2id', memoryKiB: 8, passes: 1, lanes: 1 } as const;

/** A key for a new file at the lowest cost. */
export function cheapKey(passphrase: Uint8Array): Promise<SealKey> {
  return sealKeyOf(passphrase, { ...CHEAP, salt: randomBytes(16).toString('base64') });
}

/** Writes a sealed state file, as an earlier run with this passphrase would have, but at the lowest cost. */
export async function writeSealedState(
  folder: string,
  role: Role,
  passphrase: Uint8Array,
  state: { readonly identity: Identity; readonly access: unknown },
): Promise<void> {
  const sealed = await seal(await cheapKey(passphrase), textToSeal(state), sealLabel(role));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, `${role}.json`), sealedText(role, sealed), { mode: 0o600 });
}

/** Writes a sealed file of names, as {@link writeSealedState} does. */
export async function writeSealedNames(folder: string, passphrase: Uint8Array, names: Names): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(namesFileOf({ folder }), await namesFileText(names, await cheapKey(passphrase)), {
    mode: 0o600,
  });
}
