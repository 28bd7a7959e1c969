import { TunnelError } from '../core/errors.js';
import { hostProblem } from '../core/host.js';
import type { ProxyAddress } from '../core/proxy.js';
import { fitsCredential, MAX_CREDENTIAL_BYTES } from '../core/proxy.js';

export const PROXY_FORM = 'write socks5://[USER[:PASSWORD]@]HOST:PORT or http://[USER[:PASSWORD]@]HOST:PORT';

const PROTOCOLS: Readonly<Record<string, ProxyAddress['protocol']>> = {
  'socks5:': 'socks5',
  // curl's name for a SOCKS5 proxy that resolves names, as we always want.
  'socks5h:': 'socks5',
  'http:': 'http',
};

/** Ports of a URL without one. The URL class has removed the default port of http. */
const DEFAULT_PORTS: Readonly<Record<ProxyAddress['protocol'], number>> = { socks5: 1080, http: 80 };

/** The parts of a proxy's URL. User and password may be empty. */
export interface ProxyUrl {
  readonly proxy: ProxyAddress;
  readonly user: string;
  readonly password: string;
}

/**
 * Reads the URL of a proxy.
 *
 * @returns its parts, or what is wrong with it, as words that follow its name. They never contain the URL, which may
 *   have a password
 */
export function readProxyUrl(text: string): ProxyUrl | string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocol = url === undefined ? undefined : PROTOCOLS[url.protocol];
  if (url === undefined || protocol === undefined) return ` is not a usable proxy; ${PROXY_FORM}`;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const problem = hostProblem(host);
  if (problem !== undefined) {
    // With an unescaped / in a password, what looks like the host is part of the password.
    const mayBePassword = text.includes('@');
    return `: ${mayBePassword ? 'its host is not valid' : problem}; ${PROXY_FORM}${mayBePassword ? '; in the user name and the password, write / as %2F' : ''}`;
  }
  if (url.pathname.replace('/', '') !== '' || url.search !== '' || url.hash !== '')
    return ` has something after its port; ${PROXY_FORM}`;
  if (url.port === '0') return `: 0 is not a port; ${PROXY_FORM}`;
  const port = url.port === '' ? DEFAULT_PORTS[protocol] : Number(url.port);
  const [user, password] = [decoded(url.username), decoded(url.password)];
  if (user === undefined || password === undefined) return ': write a % in the user name or password as %25';
  return { proxy: { protocol, host, port }, user, password };
}

/** Reads the URL of a proxy. @throws {TunnelError} ERR_ADDRESS_INVALID; the message never contains a password */
export function parseProxyUrl(text: string): ProxyAddress {
  const read = readProxyUrl(text);
  if (typeof read === 'string') throw new TunnelError('ERR_ADDRESS_INVALID', `the proxy${read}`);
  const { proxy, user, password } = read;
  if (user === '' && password === '') return proxy;
  const problem = credentialsProblem(user, password);
  if (problem !== undefined) throw new TunnelError('ERR_ADDRESS_INVALID', `${problem}; ${PROXY_FORM}`);
  return { ...proxy, credentials: { user, password } };
}

/** Returns why a proxy cannot accept these credentials; undefined when it can. */
export function credentialsProblem(user: string, password: string): string | undefined {
  for (const [what, value] of [
    ['user name', user],
    ['password', password],
  ] as const) {
    if (!fitsCredential(value))
      return `the ${what} for the proxy must have 1 to ${MAX_CREDENTIAL_BYTES} bytes`;
  }
  return user.includes(':') ? 'the user name for the proxy must not contain a colon' : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
