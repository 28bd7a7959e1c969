import { fitsCredential, MAX_CREDENTIAL_BYTES } from '../../core/proxy.js';
import { parseDynamicSpec } from '../../rules/forward_spec.js';
import type { ProxyOptions } from '../api.js';
import { usage } from './flags.js';
import { readFirstLine } from './read_bounded.js';

export interface ProxyFlags {
  /** Arguments of `-D`. */
  readonly dynamic?: readonly string[];
  readonly socksUser?: string;
  readonly socksPasswordFile?: string;
}

/** The proxies of `-D`, all with the same user name and password, or none. */
export async function proxiesOf(flags: ProxyFlags): Promise<readonly ProxyOptions[]> {
  const binds = (flags.dynamic ?? []).map(parseDynamicSpec);
  const credentials = await credentialsOf(flags);
  if (credentials !== undefined && binds.length === 0) throw usage('--socks-user is for the proxy of -D');
  return binds.map((bind) => ({ bind, ...(credentials === undefined ? {} : { credentials }) }));
}

async function credentialsOf({ socksUser: user, socksPasswordFile: file }: ProxyFlags) {
  if (user === undefined && file === undefined) return undefined;
  if (user === undefined || file === undefined) {
    throw usage('--socks-user NAME and --socks-password-file FILE go together');
  }
  if (!fitsCredential(user)) throw usage(`--socks-user must have 1 to ${MAX_CREDENTIAL_BYTES} bytes`);
  if (user.includes(':')) throw usage('--socks-user must have no colon: HTTP clients cannot give it');
  const password = await readFirstLine(file);
  if (!fitsCredential(password)) {
    throw usage(`the first line of ${file} must be the password, 1 to ${MAX_CREDENTIAL_BYTES} bytes`);
  }
  return { user, password };
}
