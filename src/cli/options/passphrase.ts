import type { CliIo } from '../process/io.js';
import { PASSPHRASE_VARIABLE } from '../process/secret_variables.js';
import type { StateFlags } from './flags.js';
import { readSecretFile } from './read_bounded.js';
import { usage } from './usage.js';

const MAX_PASSPHRASE_BYTES = 4096;

/**
 * Returns the passphrase of the state files from `--passphrase-file` or the environment; undefined without
 * either. One line end after the passphrase is ignored.
 *
 * @throws {TunnelError} ERR_USAGE
 */
export async function passphraseOf(
  { passphraseFile, ephemeral }: Pick<StateFlags, 'passphraseFile' | 'ephemeral'>,
  io: CliIo,
): Promise<Uint8Array | undefined> {
  const fromEnvironment = environmentPassphrase(io);
  // The environment variable is allowed with --ephemeral: it may decrypt the names.
  if (ephemeral === true && passphraseFile !== undefined)
    throw usage('--passphrase-file and --ephemeral cannot be combined');
  if (passphraseFile !== undefined) return readPassphrase(passphraseFile, io);
  return fromEnvironment === undefined
    ? undefined
    : checked(Buffer.from(fromEnvironment), PASSPHRASE_VARIABLE);
}

/** The variable can be taken only once, but several parts of a command ask for it. */
const taken = new WeakMap<CliIo, string | undefined>();

/** Returns the passphrase in the environment of a command, on every call. */
export function environmentPassphrase(io: CliIo): string | undefined {
  if (!taken.has(io)) taken.set(io, io.takeEnv(PASSPHRASE_VARIABLE));
  return taken.get(io);
}

/** Reads a passphrase from a file. @throws {TunnelError} ERR_USAGE */
export async function readPassphrase(
  file: string,
  io: Pick<CliIo, 'stderr' | 'platform'>,
): Promise<Uint8Array> {
  return checked(await readSecretFile(file, io, { code: 'ERR_USAGE', maxBytes: MAX_PASSPHRASE_BYTES }), file);
}

function checked(bytes: Buffer, origin: string): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === LINE_FEED) end--;
  if (bytes[end - 1] === CARRIAGE_RETURN) end--;
  if (end === 0) throw usage(`${origin}: the passphrase is empty`);
  if (end > MAX_PASSPHRASE_BYTES)
    throw usage(`${origin}: the passphrase has more than ${MAX_PASSPHRASE_BYTES} bytes`);
  return Uint8Array.from(bytes.subarray(0, end));
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
