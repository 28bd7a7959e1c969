import * as v from 'valibot';
import { type Sealed, SealedSchema } from './sealed.js';
import { checked, parseJson, StateFault } from './state_json.js';

/** Names for listeners, each with the text of its ticket or Tox ID. */
export type Names = ReadonlyMap<string, string>;

/** What stands in a names file: the names, or what a passphrase opens. */
export type NamesFile =
  | { readonly kind: 'plain'; readonly names: Names }
  | { readonly kind: 'sealed'; readonly sealed: Sealed };

const KIND = 'tox-wasm-tunnel names';
const VERSION = 1;

/** What is sealed as names shall not open as an identity. */
export const NAMES_SEAL_LABEL = KIND;

const NamesSchema = v.object({
  names: v.array(v.object({ name: v.string(), remote: v.string() }), 'a list of names is expected'),
});

/** Reads the text of a names file. @throws {StateFault} with nothing of the text in its message */
export function parseNamesFile(text: string): NamesFile {
  const json = parseJson(text);
  const head = v.safeParse(v.object({ kind: v.literal(KIND), version: v.number() }), json);
  if (!head.success) throw new StateFault('it is no list of names of tox-wasm-tunnel');
  const { version } = head.output;
  if (version !== VERSION)
    throw new StateFault(`it has version ${version}, and this program knows version ${VERSION}`);
  const box = v.safeParse(v.object({ encrypted: v.unknown() }), json);
  if (box.success)
    return { kind: 'sealed', sealed: checked(SealedSchema, box.output.encrypted, 'encrypted.') };
  return { kind: 'plain', names: namesIn(json) };
}

/** Reads what a passphrase has opened. @throws {StateFault} as {@link parseNamesFile} */
export function parseOpenedNames(text: string): Names {
  return namesIn(parseJson(text));
}

/** The text of a file that anybody can read. */
export function plainNamesText(names: Names): string {
  return fileText(bodyOf(names));
}

/** The text to be sealed. */
export function namesTextToSeal(names: Names): string {
  return JSON.stringify(bodyOf(names));
}

/** The text of a file that a passphrase opens. */
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
