import { isIP } from 'node:net';
import { allowedPeer, peerName, publicKeyBytes } from '../access/access_arguments.js';
import { type AccessState, parseAccessState } from '../access/access_state.js';
import { parseAllowedPeer, parsePeerKey } from '../access/peer_key.js';
import { parseRemote, SECRET_BYTES, type Ticket, ticketOf } from '../access/ticket.js';
import {
  boolean,
  bytes,
  integer,
  listOf,
  milliseconds,
  nameError,
  objectOf,
  oneOf,
  type Reader,
  signal,
  text,
  textOr,
  wrongArgument,
} from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { hostProblem, LOCALHOST } from '../core/host.js';
import type { Logger } from '../core/logger.js';
import { LIMIT_RANGES, type Limits } from '../core/peer_limits.js';
import type { ProxyAddress, ProxyCredentials } from '../core/proxy.js';
import {
  type BootstrapAddress,
  NOSPAM_BYTES,
  PUBLIC_KEY_BYTES,
  SECRET_KEY_BYTES,
  TOX_ID_BYTES,
} from '../core/tox_network.js';
import { parseBootstrapLine } from '../network/bootstrap_list.js';
import { knownPlaces } from '../network/known_places.js';
import { credentialsProblem, parseProxyUrl } from '../network/proxy_url.js';
import { makeToxId, type ToxId } from '../network/tox_id.js';
import { hostArgument, portArgument, proxyBind, socketPathArgument } from '../rules/address_arguments.js';
import type { Endpoint } from '../rules/endpoint.js';
import { type IsName, type Rule, readRule } from '../rules/expose.js';
import { parseReverseRule, type ReverseRule } from '../rules/reverse_rule.js';
import { reverseRuleObject, ruleObject } from '../rules/rule_arguments.js';
import { type Identity, identityOf, parseIdentity } from '../state/identity.js';
import type { Ports } from './options.js';

const anyPort = integer(0, 0xffff);
const targetPort = integer(1, 0xffff);

/** A host outside the tunnel, which this machine looks up. */
const networkHost: Reader<string> = (value, name) => {
  const given = text(value, name);
  const problem = hostProblem(given);
  if (problem !== undefined) throw new TunnelError('ERR_ADDRESS_INVALID', `${name}: ${problem}`);
  return given;
};

const bindAddress: Reader<string> = (value, name) => {
  if (typeof value === 'string' && isIP(value) !== 0) return value;
  throw wrongArgument(name, 'a numeric address, such as 192.0.2.1 or 2001:db8::1');
};

const LEVELS: readonly unknown[] = [undefined, 'error', 'warn', 'info', 'debug', 'trace'];

/** Returns the program's own object, including any extra properties. */
const logger: Reader<Logger> = (value, name) => {
  const given = value as Partial<Logger> | null;
  if (typeof given?.log === 'function' && LEVELS.includes(given.level)) return given as Logger;
  throw wrongArgument(
    name,
    'an object with a function log, and with a level of error, warn, info, debug or trace',
  );
};

const url: Reader<URL> = (value, name) => {
  if (typeof value === 'object' && value !== null && 'href' in value && typeof value.href === 'string')
    return new URL(value.href);
  throw wrongArgument(name, 'a URL');
};

const bootstrapNode: Reader<BootstrapAddress> = textOr(
  parseBootstrapLine,
  objectOf(
    { host: networkHost, port: targetPort, key: bytes(PUBLIC_KEY_BYTES) },
    { tcpPorts: listOf(targetPort) },
  ),
);

const credentials: Reader<ProxyCredentials> = (value, name) => {
  const read = objectOf({ user: text, password: text }, {})(value, name);
  const problem = credentialsProblem(read.user, read.password);
  if (problem !== undefined) throw new TunnelError('ERR_ARGUMENT_INVALID', `${name}: ${problem}`);
  return read;
};

const proxy: Reader<ProxyAddress> = textOr(
  parseProxyUrl,
  objectOf({ protocol: oneOf('socks5', 'http'), host: networkHost, port: targetPort }, { credentials }),
);

const udpPorts: Reader<Ports> = (value, name) => {
  const read = objectOf({ from: anyPort, to: anyPort }, {})(value, name);
  if (read.from <= read.to && (read.from > 0 || read.to === 0)) return read;
  throw wrongArgument(name, 'a range of ports from 1 on, the lower one first, or from 0 to 0 for any port');
};

const limits: Reader<Partial<Limits>> = objectOf(
  {},
  // Object.entries forgets the key type; the table has all of them.
  Object.fromEntries(
    Object.entries(LIMIT_RANGES).map(([name, { least, most }]) => [name, integer(least, most)]),
  ) as Readonly<Record<keyof Limits, Reader<number>>>,
);

/** Identities from createIdentity also have a public key. */
const identityParts = objectOf(
  { secretKey: bytes(SECRET_KEY_BYTES), nospam: bytes(NOSPAM_BYTES) },
  { publicKey: text },
);

const identity: Reader<Identity> = textOr(parseIdentity, (value, name) => {
  const { secretKey, nospam } = identityParts(value, name);
  return identityOf(secretKey, nospam);
});

const COMMON = {
  identity,
  bootstrap: listOf(bootstrapNode),
  lanDiscovery: boolean,
  bindAddress,
  logger,
  signal,
  files: objectOf({}, { worker: url, wasm: url }),
};

const NODE = { ...COMMON, udp: boolean, udpPorts, proxy, places: knownPlaces };

const ROLE = { patienceMs: milliseconds, limits, signal };

/** A rule that may name a peer or a ticket. It can be resolved only once the names are known. */
type Named<Of> = (isName: IsName) => Of;

const readRuleObject = ruleObject(peerName);

const rule: Reader<Named<Rule>> = (value, name) => {
  if (typeof value === 'string') return (isName) => nameError(name, () => readRule(value, isName).rule);
  const read = readRuleObject(value, name);
  return () => read;
};

const rules = listOf(rule);

const exposed: Reader<readonly Named<Rule>[] | 'loopback'> = (value, name) => {
  if (value === 'loopback') return value;
  if (typeof value === 'string') throw wrongArgument(name, "a list of rules, or 'loopback'");
  return rules(value, name);
};

const readReverseObject = reverseRuleObject(peerName);

const reverseRule: Reader<Named<ReverseRule>> = (value, name) => {
  if (typeof value === 'string') return (isName) => nameError(name, () => parseReverseRule(value, isName));
  const read = readReverseObject(value, name);
  return () => read;
};

const access: Reader<AccessState> = (value, name) => {
  const read = nameError(name, () => parseAccessState(value));
  if (read === undefined) throw wrongArgument(name, 'a value of listener.access.state');
  return read;
};

const toxId: Reader<ToxId> = (value, name) => {
  const { publicKey, nospam } = objectOf(
    { publicKey: bytes(PUBLIC_KEY_BYTES), nospam: bytes(NOSPAM_BYTES) },
    { bytes: bytes(TOX_ID_BYTES) },
  )(value, name);
  return makeToxId(publicKey, nospam);
};

const ticket = objectOf({ toxId, secret: bytes(SECRET_BYTES) }, {});

const remote: Reader<Ticket | ToxId> = (value, name) => {
  if (typeof value === 'string') return nameError(name, () => parseRemote(value));
  if (typeof value !== 'object' || value === null)
    throw wrongArgument(name, 'a ticket or a Tox ID, as text or as a result of parseTicket or parseToxId');
  if (!('toxId' in value)) return toxId(value, name);
  const read = ticket(value, name);
  return ticketOf(read.toxId, read.secret);
};

const SERVICE = {
  ...ROLE,
  expose: exposed,
  offer: listOf(objectOf({ host: hostArgument, port: portArgument(1) }, { allowHalfOpen: boolean })),
  allowReverse: listOf(reverseRule),
  access,
  allowPeers: listOf(textOr(parseAllowedPeer, allowedPeer)),
  denyPeers: listOf(textOr(parsePeerKey, publicKeyBytes)),
};

/** Argument of `createNode()`. */
export const nodeOptions = objectOf({}, NODE);
export type CheckedNodeOptions = ReturnType<typeof nodeOptions>;

/** Argument of `node.listen()`. */
export const serviceOptions = objectOf({}, SERVICE);
export type CheckedServiceOptions = ReturnType<typeof serviceOptions>;

/** Argument of `node.connect()`. */
export const connectionOptions = objectOf({ remote }, ROLE);
export type CheckedConnectionOptions = ReturnType<typeof connectionOptions>;

/** The options that a listener and a connector share. */
export type CheckedRoleOptions = Omit<CheckedConnectionOptions, 'remote'>;

/** Argument of `listen()`. */
export const listenOptions = objectOf({}, { ...NODE, ...SERVICE });

/** Argument of `connect()`. */
export const connectOptions = objectOf({ remote }, { ...NODE, ...ROLE });

/** Argument of `createBootstrapNode()`. */
export const bootstrapNodeOptions = objectOf({}, { ...COMMON, port: anyPort, tcpPort: anyPort });
export type CheckedBootstrapNodeOptions = ReturnType<typeof bootstrapNodeOptions>;

/** Argument of `dynamic()`. */
export const dynamicOptions = objectOf({ bind: proxyBind }, { credentials, signal });

/** Argument of `close()`. */
export const closeOptions = objectOf({}, { drain: boolean, timeoutMs: milliseconds });

const abortable = objectOf({}, { signal });

/** The signal of a call that can be aborted. @param call for errors, such as `ping()` */
export function signalOf(options: unknown, call: string): AbortSignal | undefined {
  return abortable(options, call).signal;
}

const udpParts = objectOf({ port: portArgument(1) }, { host: hostArgument, signal });

/** Argument of `dialUdp()`. */
export function udpTarget(given: unknown) {
  const { host = LOCALHOST, port, signal: ends } = udpParts(given, 'dialUdp()');
  return { target: { host, port }, signal: ends };
}

const dialParts = objectOf(
  {},
  {
    host: hostArgument,
    port: portArgument(1),
    path: socketPathArgument,
    allowHalfOpen: boolean,
    sessionWaitMs: milliseconds,
    signal,
  },
);

/** Argument of `dial()`. The host defaults to `localhost`, as in `net.connect`. */
export function dialOptions(options: unknown) {
  const name = 'dial()';
  const { host: named, port: given, path: at, ...others } = dialParts(options, name);
  let target: Endpoint;
  if (at === undefined) target = { host: named ?? LOCALHOST, port: portArgument(1)(given, `${name}: port`) };
  else if (named === undefined && given === undefined) target = { path: at };
  else throw new TunnelError('ERR_ADDRESS_INVALID', `${name}: give a path, or a host and a port`);
  return { ...others, target };
}
