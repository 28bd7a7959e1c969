import { type IpAddress, parseAddress } from './ip.js';

/** What a peer or a user may name as a host: an address, or a name to be resolved. */
export type Host =
  | { readonly kind: 'address'; readonly address: IpAddress }
  /** Lower case, without a trailing dot. */
  | { readonly kind: 'name'; readonly name: string };

/** This name and the names below it never go to a resolver. Source: RFC 6761 section 6.3. */
export const LOCALHOST = 'localhost';

/** Whether a name means this machine's own loopback: localhost, and all names below it. Source: as above. */
export function isLocalhostName(name: string): boolean {
  return name === LOCALHOST || name.endsWith(`.${LOCALHOST}`);
}

/** Longest name and longest label, in characters. Source: RFC 1035 section 2.3.4, without the root's dot. */
const MAX_NAME_CHARS = 253;
const MAX_LABEL_CHARS = 63;
/** Maximum characters of a wrong host that an error repeats. */
const SHOWN_CHARS = 60;

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;
/** Labels that the C library would read as a number. */
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/;

/** Longest name of a peer or a ticket, in characters. */
export const MAX_PEER_NAME_CHARS = 32;
const PEER_NAME = /^[a-z][a-z0-9_-]*$/;

/**
 * Whether a word has the form of the name of a peer or a ticket. A host can have such a name too, so a rule says which
 * of the two it means.
 */
export function looksLikeName(text: string): boolean {
  return text.length <= MAX_PEER_NAME_CHARS && PEER_NAME.test(text.toLowerCase());
}

/**
 * Reads a host; IPv6 has no brackets.
 *
 * @returns the host, or what is wrong with it, as words that follow "host"
 */
export function readHost(text: string): Host | string {
  if (text === '') return 'is empty';
  const address = parseAddress(text);
  if (address !== undefined) return { kind: 'address', address };
  if (text.includes('%')) return 'has a zone (%): give an address without one';
  if (text.includes(':')) return 'is not an IPv6 address';
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  if (NUMBER.test(labels.at(-1) ?? ''))
    return 'must be a dotted quad (four plain numbers from 0 to 255) or a name';
  if (name.length > MAX_NAME_CHARS) return `is longer than ${MAX_NAME_CHARS} characters`;
  // Check the original text, because lower case turns the Kelvin sign into a k.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: matches everything that is not ASCII
  if (/[^\x00-\x7f]/.test(text)) return 'must be ASCII: write an international name in its xn-- form';
  const isName = labels.every((label) => label.length <= MAX_LABEL_CHARS && LABEL.test(label));
  if (!isName) {
    return `is not a name: use letters, digits, - and _ between single dots, at most ${MAX_LABEL_CHARS} characters between dots`;
  }
  return { kind: 'name', name };
}

/** What {@link readHost} finds wrong with a host, as a clause; undefined when it accepts the host. */
export function hostProblem(text: string): string | undefined {
  const read = readHost(text);
  if (typeof read !== 'string') return undefined;
  const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
  return text === '' ? `the host ${read}` : `the host ${JSON.stringify(shown)} ${read}`;
}

/** The host without brackets, in canonical spelling. */
export function hostText(host: Host): string {
  return host.kind === 'address' ? host.address.text : host.name;
}

/** Formats a host as it appears before a port. */
export function printHost(host: Host): string {
  return bracketed(hostText(host));
}

/** Formats an address or a name as it appears before a port: IPv6 in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
