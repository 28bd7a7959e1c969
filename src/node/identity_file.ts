import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { TunnelError } from '../core/errors.js';
import { type Identity, publicKeyOf, SECRET_KEY_BYTES } from './identity.js';
import { errnoOf } from './process_mark.js';
import { type LockHolder, type RoleLock, takeRoleLock } from './role_lock.js';
import { NOSPAM_BYTES } from './tox_id.js';

/** What a process is. Each role has an identity of its own, so that they run beside each other. */
export type Role = 'listener' | 'connector' | 'node';

export interface IdentityPlace {
  /** The state folder; made, for its owner alone, when it is not there. */
  readonly folder: string;
  readonly role: Role;
}

export interface OpenIdentityOptions extends IdentityPlace {
  /** When another process uses this identity: throw, or go without one. */
  readonly onBusy: 'fail' | 'ephemeral';
}

/** An identity that no other process uses until it is released. */
export interface OpenedIdentity {
  /** Undefined at the first start, and when it is ephemeral. */
  readonly identity: Identity | undefined;
  /** True when another process has the identity: nothing will be saved. */
  readonly ephemeral: boolean;
  /**
   * Puts an identity in the file's place, all of it or nothing.
   *
   * @throws {TunnelError} ERR_STATE_IO, ERR_CLOSED after release
   */
  save(identity: Identity): Promise<void>;
  /** Lets other processes have it. Calling it again does nothing. */
  release(): Promise<void>;
}

const KIND = 'tox-wasm-tunnel identity';
const VERSION = 1;
/** The file has about 400 bytes; much more is another kind of file. */
const MAX_FILE_BYTES = 16 * 1024;

const hex = (bytes: number) =>
  v.pipe(
    v.string('hexadecimal digits are expected'),
    v.regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `${bytes * 2} hexadecimal digits are expected`),
    v.transform((digits) => Uint8Array.from(Buffer.from(digits, 'hex'))),
  );

const FileSchema = v.object({
  secretKey: hex(SECRET_KEY_BYTES),
  // Written to find a damaged secret key, and for people.
  publicKey: hex(SECRET_KEY_BYTES),
  nospam: v.optional(hex(NOSPAM_BYTES), '00'.repeat(NOSPAM_BYTES)),
});

/**
 * Opens the identity of a role and locks it against other processes. A file that is damaged,
 * of another kind or of a newer version is refused, and left as it is.
 *
 * @throws {TunnelError} ERR_STATE_INVALID (the file), ERR_STATE_IO (the folder), ERR_STATE_BUSY
 */
export async function openIdentity(options: OpenIdentityOptions): Promise<OpenedIdentity> {
  const { folder, role } = options;
  const answer = await inFolder(folder, async () => {
    // The mode counts for folders made now; one that is there keeps what its owner chose.
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return takeRoleLock(folder, role);
  });
  if (answer.kind === 'busy') {
    if (options.onBusy === 'fail') throw busy(options, answer.holder);
    return { identity: undefined, ephemeral: true, save: async () => {}, release: async () => {} };
  }
  try {
    return openedIdentity(options, answer.lock, await readIdentity(options));
  } catch (error) {
    await answer.lock.release();
    throw error;
  }
}

/**
 * Reads the identity of a role without locking it, whoever uses it.
 *
 * @returns undefined when there is none
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_IO
 */
export async function readIdentity({ folder, role }: IdentityPlace): Promise<Identity | undefined> {
  const file = join(folder, `${role}.json`);
  const text = await inFolder(folder, async () => {
    try {
      const { mode, size } = await stat(file);
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
        const octal = (mode & 0o777).toString(8).padStart(4, '0');
        throw new TunnelError(
          'ERR_STATE_INVALID',
          `${file}: others on this machine may use it (mode ${octal}), and it holds a secret key; make it yours alone with: chmod 600 ${file}`,
        );
      }
      if (size > MAX_FILE_BYTES) throw refused(file, `it has ${size} bytes, too many for an identity`);
      return await readFile(file, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  });
  return text === undefined ? undefined : parseIdentity(text, file, role);
}

function parseIdentity(text: string, file: string, role: Role): Identity {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw refused(file, text.trim() === '' ? 'it is empty' : 'it is not JSON', error);
  }
  const head = v.safeParse(v.object({ kind: v.literal(KIND), version: v.number(), role: v.string() }), json);
  if (!head.success) throw refused(file, 'it is not an identity of tox-wasm-tunnel');
  if (head.output.version !== VERSION) {
    throw refused(file, `it has version ${head.output.version}, and this program knows version ${VERSION}`);
  }
  if (head.output.role !== role) {
    throw refused(file, `it is the identity of a ${JSON.stringify(head.output.role)}, not of a ${role}`);
  }
  const body = v.safeParse(FileSchema, json, { abortEarly: true });
  if (!body.success) {
    const [issue] = body.issues;
    const field = issue.path?.[0]?.key;
    throw refused(
      file,
      `${JSON.stringify(field)} is wrong: ${issue.input === undefined ? 'it is missing' : issue.message}`,
    );
  }
  const { secretKey, publicKey, nospam } = body.output;
  if (Buffer.compare(publicKeyOf(secretKey), publicKey) !== 0) {
    throw refused(file, 'its secret key and its public key do not belong together');
  }
  return { secretKey, nospam };
}

function openedIdentity(
  place: IdentityPlace,
  lock: RoleLock,
  identity: Identity | undefined,
): OpenedIdentity {
  let released = false;
  return {
    identity,
    ephemeral: false,
    save: async (next) => {
      if (released) throw new TunnelError('ERR_CLOSED', `the identity of the ${place.role} was released`);
      await inFolder(place.folder, () => replaceFile(place, identityText(place.role, next)));
    },
    release: async () => {
      released = true;
      await inFolder(place.folder, () => lock.release());
    },
  };
}

function identityText(role: Role, { secretKey, nospam }: Identity): string {
  if (secretKey.length !== SECRET_KEY_BYTES || nospam.length !== NOSPAM_BYTES) {
    throw new RangeError(`an identity of ${secretKey.length} and ${nospam.length} bytes`);
  }
  const file = {
    version: VERSION,
    kind: KIND,
    role,
    secretKey: Buffer.from(secretKey).toString('hex'),
    publicKey: Buffer.from(publicKeyOf(secretKey)).toString('hex'),
    nospam: Buffer.from(nospam).toString('hex'),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/**
 * Puts the text in the file's place so that a crash at any moment leaves the old one or the new
 * one whole. Only the lock's holder comes here, so the draft needs one name, and the next
 * start writes over what a crash left.
 */
async function replaceFile({ folder, role }: IdentityPlace, text: string): Promise<void> {
  const file = join(folder, `${role}.json`);
  const draft = `${file}.new`;
  await rm(draft, { force: true });
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, file);
  await syncFolder(folder);
}

/** Makes a rename last through a power cut, where the system lets a folder be opened. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems cannot; then they keep their own order.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'].includes(errnoOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

const WAY_OUT = 'choose another folder with --state DIR, or do without with --ephemeral';

/** Runs `work`; what the system refuses becomes ERR_STATE_IO. */
async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error);
    if (TunnelError.is(error) || errno === undefined) throw error;
    const why = error instanceof Error ? error.message : errno;
    throw new TunnelError('ERR_STATE_IO', `${folder}: ${why}; ${WAY_OUT}`, { cause: error });
  }
}

function refused(file: string, what: string, cause?: unknown): TunnelError {
  const detail = `${file}: ${what}; it was left as it is: move it away to start anew, ${WAY_OUT}`;
  return new TunnelError('ERR_STATE_INVALID', detail, cause === undefined ? {} : { cause });
}

function busy({ folder, role }: IdentityPlace, holder: LockHolder): TunnelError {
  const who = holder.pid === 0 ? 'another process' : `process ${holder.pid}`;
  const where =
    holder.host === undefined
      ? ''
      : ` on ${JSON.stringify(holder.host)} (if it is gone, delete ${holder.file})`;
  return new TunnelError(
    'ERR_STATE_BUSY',
    `${who}${where} runs as the ${role} of ${folder}; run a second one with an identity of its own: --state DIR, or --ephemeral`,
  );
}
