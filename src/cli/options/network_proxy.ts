import type { ProxyAddress } from '../../index.js';
import { credentialsProblem, PROXY_FORM, readProxyUrl } from '../../network/proxy_url.js';
import type { CliIo } from '../process/io.js';
import { PROXY_VARIABLE } from '../process/secret_variables.js';
import { usage } from './flags.js';
import { readFirstLine } from './read_bounded.js';

export interface NetworkProxyFlags {
  /** Argument of `--proxy`. */
  readonly proxy?: string;
  readonly proxyPasswordFile?: string;
  readonly udpPort?: string;
}

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
    if (named === '') throw usage(`--proxy is empty; ${PROXY_FORM}`);
    if (file !== undefined) throw usage('--proxy-password-file goes with --proxy');
    return {};
  }
  if (udpPort !== undefined)
    throw usage(`--udp-port and ${origin} contradict each other: a proxy takes no UDP`);
  const read = readProxyUrl(text);
  if (typeof read === 'string') throw usage(`${origin}${read}`);
  const { proxy, user } = read;
  const password = file === undefined ? read.password : await readFirstLine(file);
  if (user === '' && password === '') return { proxy };
  const problem = credentialsProblem(user, password);
  if (problem !== undefined)
    throw usage(
      `${problem}; ${PROXY_FORM}, and --proxy-password-file FILE keeps the password out of the list of processes`,
    );
  return { proxy: { ...proxy, credentials: { user, password } } };
}

/** Whether a password stands in the argument of `--proxy`, well written or not. */
export function hasProxyPassword(text: string): boolean {
  const [userInfo] = text.replace(/^[a-z\d]+:\/\//i, '').split(/@(?!.*@)/);
  return text.includes('@') && userInfo?.includes(':') === true;
}
