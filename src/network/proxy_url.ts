import { TunnelError } from '../core/errors.js';
import { hostProblem } from '../core/host.js';
import type { ProxyAddress } from '../core/proxy.js';
import { fitsCredential, MAX_CREDENTIAL_BYTES } from '../core/proxy.js';

export const PROXY_FORM =
  'it looks like socks5://[USER[:PASSWORD]@]HOST:PORT or http://[USER[:PASSWORD]@]HOST:PORT';

const PROTOCOLS: Readonly<Record<string, ProxyAddress['protocol']>> = {
  'socks5:': 'socks5',
  // What curl calls a SOCKS5 proxy that looks names up, as ours always shall.
  'socks5h:': 'socks5',
  'http:': 'http',
};

/** Where a proxy listens that names no port. URL has cut http's own. */
const DEFAULT_PORTS: Readonly<Record<ProxyAddress['protocol'], number>> = { socks5: 1080, http: 80 };

/** What a URL says; user and password may be empty. */
export interface ProxyUrl {
  readonly proxy: ProxyAddress;
  readonly user: string;
  readonly password: string;
}

/**
 * Reads the URL of a proxy.
 *
 * @returns what it says, or what is wrong with it, to follow its name. Never the text itself, which may hold a password
 */
export function readProxyUrl(text: string): ProxyUrl | string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocol = url === undefined ? undefined : PROTOCOLS[url.protocol];
  if (url === undefined || protocol === undefined) return ` is no proxy that can be used; ${PROXY_FORM}`;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const problem = hostProblem(host);
  if (problem !== undefined) return `: ${problem}; ${PROXY_FORM}`;
  if (url.pathname.replace('/', '') !== '' || url.search !== '' || url.hash !== '')
    return ` has something behind its port; ${PROXY_FORM}`;
  if (url.port === '0') return `: 0 is no port; ${PROXY_FORM}`;
  const port = url.port === '' ? DEFAULT_PORTS[protocol] : Number(url.port);
  const [user, password] = [decoded(url.username), decoded(url.password)];
  if (user === undefined || password === undefined)
    return ': in user name and password a % is written as %25';
  return { proxy: { protocol, host, port }, user, password };
}

/** @throws {TunnelError} ERR_ADDRESS_INVALID; its words hold no password */
export function parseProxyUrl(text: string): ProxyAddress {
  const read = readProxyUrl(text);
  if (typeof read === 'string') throw new TunnelError('ERR_ADDRESS_INVALID', `the proxy${read}`);
  const { proxy, user, password } = read;
  if (user === '' && password === '') return proxy;
  const problem = credentialsProblem(user, password);
  if (problem !== undefined) throw new TunnelError('ERR_ADDRESS_INVALID', `${problem}; ${PROXY_FORM}`);
  return { ...proxy, credentials: { user, password } };
}

/** Why a proxy cannot be told these; undefined when it can. */
export function credentialsProblem(user: string, password: string): string | undefined {
  for (const [what, value] of [
    ['user name', user],
    ['password', password],
  ] as const) {
    if (!fitsCredential(value))
      return `the ${what} for the proxy must have 1 to ${MAX_CREDENTIAL_BYTES} bytes`;
  }
  return user.includes(':') ? 'the user name for the proxy must have no colon' : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
