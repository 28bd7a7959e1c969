import * as v from 'valibot';
import { hexBytes, NOSPAM_BYTES } from '../network/tox_id.js';
import { type Identity, identityOf, publicKeyOf, SECRET_KEY_BYTES } from './identity.js';
import { type Sealed, SealedSchema } from './sealed.js';
import { checked, parseJson, StateFault } from './state_json.js';

/** What a process is. Each role has an identity of its own, so that they run beside each other. */
export type Role = 'listener' | 'connector' | 'node';

/** What a state file keeps. */
export interface State {
  readonly identity: Identity;
  /** Who is let in to what: plain JSON, whose form `src/access` knows and checks. Undefined when there is none. */
  readonly access: unknown;
}

/** What stands in a state file: the state, or what a passphrase opens. */
export type StateFile =
  | { readonly kind: 'plain'; readonly state: State }
  | { readonly kind: 'sealed'; readonly sealed: Sealed };

const KIND = 'tox-wasm-tunnel identity';
/** 1 had neither `access` nor a passphrase; it is read, and written anew as 2. */
const VERSION = 2;
const READ_VERSIONS: readonly number[] = [1, VERSION];

const hex = (bytes: number) =>
  v.pipe(
    v.string('hexadecimal digits are expected'),
    v.regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `${bytes * 2} hexadecimal digits are expected`),
    v.transform(hexBytes),
  );

const StateSchema = v.object({
  secretKey: hex(SECRET_KEY_BYTES),
  // Written to find a damaged secret key, and for people.
  publicKey: hex(SECRET_KEY_BYTES),
  nospam: v.optional(hex(NOSPAM_BYTES), '00'.repeat(NOSPAM_BYTES)),
  access: v.optional(v.record(v.string(), v.unknown(), 'an object is expected')),
});

/**
 * Reads the text of a state file.
 *
 * @throws {StateFault} with nothing of the text in its message: secrets may stand there
 */
export function parseStateFile(text: string, role: Role): StateFile {
  const json = parseJson(text);
  const head = v.safeParse(v.object({ kind: v.literal(KIND), version: v.number(), role: v.string() }), json);
  if (!head.success) throw new StateFault('it is not an identity of tox-wasm-tunnel');
  const { version, role: found } = head.output;
  if (!READ_VERSIONS.includes(version)) {
    throw new StateFault(
      `it has version ${version}, and this program knows version ${VERSION} and older ones`,
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
 * Reads what a passphrase has opened.
 *
 * @throws {StateFault} as {@link parseStateFile}
 */
export function parseOpened(text: string): State {
  return stateOf(parseJson(text));
}

/** The text of a state file that anybody can read. */
export function plainText(role: Role, state: State): string {
  return fileText(role, bodyOf(state));
}

/** The text to be sealed. */
export function textToSeal(state: State): string {
  return JSON.stringify(bodyOf(state));
}

/** The text of a state file that a passphrase opens. */
export function sealedText(role: Role, sealed: Sealed): string {
  return fileText(role, { encrypted: sealed });
}

/** What is sealed for one role shall not open for another. */
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
    throw new StateFault('its secret key and its public key do not belong together');
  }
  return { identity: identityOf(secretKey, nospam), access };
}
