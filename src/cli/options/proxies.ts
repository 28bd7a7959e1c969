import { fitsCredential, MAX_CREDENTIAL_BYTES } from '../../core/proxy.js';
import type { ProxyAddress } from '../../index.js';
import { credentialsProblem, PROXY_FORM, readProxyUrl } from '../../network/proxy_url.js';
import { parseDynamicSpec } from '../../rules/forward_spec.js';
import type { CliIo } from '../process/io.js';
import type { ProxyOptions } from '../process/library.js';
import { PROXY_VARIABLE } from '../process/secret_variables.js';
import { readValues } from './named_value.js';
import { readFirstLine } from './read_bounded.js';
import { usage } from './usage.js';

/** Options of the proxy that this program reaches the network through. */
export interface NetworkProxyFlags {
  /** Argument of `--proxy`. */
  readonly proxy?: string;
  readonly proxyPasswordFile?: string;
  readonly udpPort?: string;
}

/**
 * Returns the proxy of `--proxy`, or of the environment.
 *
 * @throws {TunnelError} ERR_USAGE, without the password in its message
 */
export async function networkProxyOf(
  { proxy: named, proxyPasswordFile: file, udpPort }: NetworkProxyFlags,
  io: CliIo,
): Promise<{ proxy?: ProxyAddress }> {
  const fromEnvironment = io.takeEnv(PROXY_VARIABLE);
  const text = named ?? fromEnvironment;
  const origin = named === undefined ? PROXY_VARIABLE : '--proxy';
  if (text === undefined || text === '') {
    if (named === '') throw usage(`--proxy is empty; ${PROXY_FORM}`);
    if (file !== undefined) throw usage('--proxy-password-file needs --proxy');
    return {};
  }
  if (udpPort !== undefined)
    throw usage(`--udp-port and ${origin} cannot be combined: a proxy carries no UDP`);
  const read = readProxyUrl(text);
  if (typeof read === 'string') throw usage(`${origin}${read}`);
  const { proxy, user } = read;
  const password = file === undefined ? read.password : await readFirstLine(file, io);
  if (user === '' && password === '') return { proxy };
  const problem = credentialsProblem(user, password);
  if (problem !== undefined)
    throw usage(
      `${problem}; ${PROXY_FORM}, and --proxy-password-file FILE keeps the password out of the process list`,
    );
  return { proxy: { ...proxy, credentials: { user, password } } };
}

/** True when an argument of `--proxy` contains a password, even if the URL is malformed. */
export function hasProxyPassword(text: string): boolean {
  const [userInfo] = text.replace(/^[a-z\d]+:\/\//i, '').split(/@(?!.*@)/);
  return text.includes('@') && userInfo?.includes(':') === true;
}

/** Options of the proxies that this program runs. */
export interface DynamicFlags {
  /** Arguments of `-D`. */
  readonly dynamic?: readonly string[];
  readonly socksUser?: string;
  readonly socksPasswordFile?: string;
}

/** Returns the proxies of `-D`. All have the same credentials, or none. */
export async function dynamicForwardsOf(flags: DynamicFlags, io: CliIo): Promise<readonly ProxyOptions[]> {
  const binds = readValues('-D', flags.dynamic, parseDynamicSpec);
  if (binds.length === 0 && flags.socksUser !== undefined) throw usage('--socks-user needs a proxy: -D 1080');
  const credentials = await credentialsOf(flags, io);
  return binds.map((bind) => ({ bind, ...(credentials === undefined ? {} : { credentials }) }));
}

async function credentialsOf({ socksUser: user, socksPasswordFile: file }: DynamicFlags, io: CliIo) {
  if (user === undefined && file === undefined) return undefined;
  if (user === undefined || file === undefined) {
    throw usage('--socks-user NAME and --socks-password-file FILE must be given together');
  }
  if (!fitsCredential(user))
    throw usage(`--socks-user must have 1 to ${MAX_CREDENTIAL_BYTES} bytes, for example joe`);
  if (user.includes(':')) throw usage('--socks-user must contain no colon: HTTP clients cannot send one');
  const password = await readFirstLine(file, io);
  if (!fitsCredential(password)) {
    throw usage(`the first line of ${file} must be a password of 1 to ${MAX_CREDENTIAL_BYTES} bytes`);
  }
  return { user, password };
}
