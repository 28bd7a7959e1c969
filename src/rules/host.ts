import { type Address, bracketed, parseAddress } from './address.js';

/** What a peer or a user may name as a host: an address, or a name to be resolved. */
export type Host =
  | { readonly kind: 'address'; readonly address: Address }
  /** Lower case, without a dot at the end. */
  | { readonly kind: 'name'; readonly name: string };

/** Longest name and label, in characters. Source: RFC 1035 section 2.3.4, less the root's dot. */
const MAX_NAME_CHARS = 253;
const MAX_LABEL_CHARS = 63;

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;
/** What the C library would read as a number. */
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/;

/**
 * Reads a host as it stands in a forward, IPv6 without its brackets.
 *
 * @returns the host, or in words what is wrong with it, to stand after the word "host"
 */
export function readHost(text: string): Host | string {
  if (text === '') return 'is empty';
  const address = parseAddress(text);
  if (address !== undefined) return { kind: 'address', address };
  if (text.includes('%')) return 'has a scope (%): only addresses that mean the same everywhere are taken';
  if (text.includes(':')) return 'is not an IPv6 address';
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  if (NUMBER.test(labels.at(-1) ?? ''))
    return 'must be a plain dotted quad (four numbers from 0 to 255) or a name';
  if (name.length > MAX_NAME_CHARS) return `is longer than ${MAX_NAME_CHARS} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what is not ASCII
  if (/[^\x00-\x7f]/.test(name)) return 'must be ASCII: write a name in other letters as xn--';
  const fine = labels.every((label) => label.length <= MAX_LABEL_CHARS && LABEL.test(label));
  if (!fine) return 'is not a name: letters, digits, - and _ between single dots, at most 63 to a label';
  return { kind: 'name', name };
}

/** The host without brackets, in its canonical spelling. */
export function hostText(host: Host): string {
  return host.kind === 'address' ? host.address.text : host.name;
}

/** The host as it stands before a port. */
export function printHost(host: Host): string {
  return bracketed(hostText(host));
}

/** The only name that never goes to a resolver. Source: RFC 6761 section 6.3. */
export const LOCALHOST = 'localhost';
