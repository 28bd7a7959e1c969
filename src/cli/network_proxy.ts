import { fitsCredential, MAX_CREDENTIAL_BYTES } from '../core/proxy_credentials.js';
import type { ProxyAddress } from '../index.js';
import { hostProblem } from '../node/host_name.js';
import { usage } from './flags.js';
import type { CliIo } from './io.js';
import { readFirstLine } from './read_bounded.js';
import { PROXY_VARIABLE } from './secret_variables.js';

export interface NetworkProxyFlags {
  /** Argument of `--proxy`. */
  readonly proxy?: string;
  readonly proxyPasswordFile?: string;
  readonly udpPort?: string;
}

const FORM = 'it looks like socks5://[USER[:PASSWORD]@]HOST:PORT or http://[USER[:PASSWORD]@]HOST:PORT';

const PROTOCOLS: Readonly<Record<string, ProxyAddress['protocol']>> = {
  'socks5:': 'socks5',
  // What curl calls a SOCKS5 proxy that looks names up, as ours always shall.
  'socks5h:': 'socks5',
  'http:': 'http',
};

/** Where a proxy listens that names no port. URL has cut http's own. */
const DEFAULT_PORTS: Readonly<Record<ProxyAddress['protocol'], number>> = { socks5: 1080, http: 80 };

/**
 * The proxy that the options name, or else the environment.
 *
 * @throws {TunnelError} ERR_USAGE; its words hold no password
 */
export async function networkProxyOf(
  { proxy: named, proxyPasswordFile: file, udpPort }: NetworkProxyFlags,
  io: CliIo,
): Promise<{ proxy?: ProxyAddress }> {
  const fromEnvironment = io.takeEnv(PROXY_VARIABLE);
  const text = named ?? fromEnvironment;
  const origin = named === undefined ? PROXY_VARIABLE : '--proxy';
  if (text === undefined || text === '') {
    if (named === '') throw usage(`--proxy is empty; ${FORM}`);
    if (file !== undefined) throw usage('--proxy-password-file goes with --proxy');
    return {};
  }
  if (udpPort !== undefined)
    throw usage(`--udp-port and ${origin} contradict each other: a proxy takes no UDP`);
  const { user, password: inUrl, ...proxy } = readProxyUrl(text, origin);
  const password = file === undefined ? inUrl : await readFirstLine(file);
  if (user === '' && password === '') return { proxy };
  for (const [what, value] of [
    ['user name', user],
    ['password', password],
  ] as const) {
    if (!fitsCredential(value))
      throw usage(
        `the ${what} for the proxy must have 1 to ${MAX_CREDENTIAL_BYTES} bytes; ${FORM}, and --proxy-password-file FILE keeps the password out of the list of processes`,
      );
  }
  if (user.includes(':')) throw usage('the user name for the proxy must have no colon');
  return { proxy: { ...proxy, credentials: { user, password } } };
}

/** Whether a password stands in the argument of `--proxy`, well written or not. */
export function hasProxyPassword(text: string): boolean {
  const [userInfo] = text.replace(/^[a-z\d]+:\/\//i, '').split(/@(?!.*@)/);
  return text.includes('@') && userInfo?.includes(':') === true;
}

function readProxyUrl(text: string, origin: string): ProxyAddress & { user: string; password: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocol = url === undefined ? undefined : PROTOCOLS[url.protocol];
  // The text itself is not told: it may hold a password.
  if (url === undefined || protocol === undefined)
    throw usage(`${origin} is no proxy that can be used; ${FORM}`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const problem = hostProblem(host);
  if (problem !== undefined) throw usage(`${origin}: ${problem}; ${FORM}`);
  if (url.pathname.replace('/', '') !== '' || url.search !== '' || url.hash !== '')
    throw usage(`${origin} has something behind its port; ${FORM}`);
  if (url.port === '0') throw usage(`${origin}: 0 is no port; ${FORM}`);
  const port = url.port === '' ? DEFAULT_PORTS[protocol] : Number(url.port);
  return {
    protocol,
    host,
    port,
    user: decoded(url.username, origin),
    password: decoded(url.password, origin),
  };
}

function decoded(text: string, origin: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usage(`${origin}: in user name and password a % is written as %25`);
  }
}
