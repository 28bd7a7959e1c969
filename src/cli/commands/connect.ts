import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { isPath, printEndpoint } from '../../forward/endpoint.js';
import { parseReverseSpec } from '../../forward/reverse_spec.js';
import {
  DEFAULT_BIND_HOST,
  type HostPort,
  type LocalSpec,
  parseLocalSpec,
  parseTarget,
  printHostPort,
} from '../../forward/spec.js';
import { publicKeyOf } from '../../node/identity.js';
import { upperHex } from '../../node/tox_id.js';
import type { ConnectorHandle, Forward } from '../api.js';
import { namedOrPublicNodes } from '../bootstrap_nodes.js';
import type { ExitCode } from '../exit_codes.js';
import {
  type MetricsFlags,
  type NetworkFlags,
  networkOf,
  type OutputFlags,
  type PatienceFlags,
  patienceOf,
  portOf,
  type StateFlags,
  stateFolderOf,
  type UdpFlags,
  udpOf,
  usage,
} from '../flags.js';
import { networkProxyOf } from '../network_proxy.js';
import { passphraseOf } from '../passphrase.js';
import { type ProxyFlags, proxiesOf } from '../proxy_flags.js';
import { remoteOf, STDIN } from '../remote.js';
import { TICKET_VARIABLE } from '../secret_variables.js';
import { type Context, serve } from '../serve.js';
import { joinStdio } from '../stdio.js';

export interface ConnectFlags
  extends OutputFlags,
    StateFlags,
    NetworkFlags,
    UdpFlags,
    PatienceFlags,
    MetricsFlags,
    ProxyFlags {
  /** Arguments of `-L`. */
  readonly local?: readonly string[];
  /** Arguments of `-R`. */
  readonly reverse?: readonly string[];
  readonly ticketFile?: string;
  /** Argument of `-W`. */
  readonly stdio?: string;
  /** Argument of `-p`. */
  readonly localPort?: string;
}

/** What is to be forwarded, and whether another local port will do. */
interface Wish {
  readonly spec: LocalSpec;
  readonly elsewhere: boolean;
}

/** Connects to a listener and forwards local ports to what it can reach. */
export async function connectCommand(
  context: Context,
  first: string | undefined,
  second: string | undefined,
  flags: ConnectFlags,
): Promise<ExitCode> {
  if (flags.stdio !== undefined && first === STDIN) throw twiceStdin();
  const { remote, target: targetText } = await remoteOf(context.io, first, second, flags.ticketFile);
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  const stdio = stdioOf(targetText, flags);
  const proxies = await proxiesOf(flags);
  const wishes = wishesOf(targetText, flags);
  const reverses = (flags.reverse ?? []).map(parseReverseSpec);
  if (wishes.length + proxies.length + reverses.length === 0 && stdio === undefined) throw nothingToDo();
  const options = {
    ...networkOf(flags),
    ...udpOf(flags),
    ...(await networkProxyOf(flags, context.io)),
    ...patienceOf(flags),
    bootstrap: await namedOrPublicNodes(context, flags),
    logger: context.reporter.logger,
    remote,
  };
  const passphrase = await passphraseOf(flags, context.io);
  const { connect } = await context.io.loadApi();
  return serve(context, {
    role: 'connector',
    stateFolder: await stateFolderOf(flags, context.io),
    passphrase,
    onBusy: 'ephemeral',
    start: async (identity, signal) => {
      if (identity === undefined) return connect({ ...options, signal });
      refuseSelf(publicKey, identity.secretKey);
      return connect({ ...options, identity, signal });
    },
    metrics: flags.metrics,
    endsOnHangUp: stdio !== undefined,
    up: async (connector, lifetime) => {
      context.reporter.event({ event: 'started', toxId: connector.toxId });
      for (const wish of wishes) await forward(context, connector, wish);
      for (const proxy of proxies) {
        const { local, target } = await connector.dynamic(proxy);
        context.reporter.event({ event: 'forward', local, target });
      }
      for (const spec of reverses) {
        const reverse = { listen: printHostPort(spec.bind), target: printEndpoint(spec.target) };
        context.reporter.event({ event: 'reverse', status: 'asked', ...reverse, peer: upperHex(publicKey) });
        connector.reverse(spec);
      }
      if (stdio !== undefined) joinStdio(context.io, connector, stdio, lifetime);
    },
  });
}

function wishesOf(targetText: string | undefined, { local = [], localPort }: ConnectFlags): Wish[] {
  const wishes: Wish[] = local.map((text) => ({ spec: parseLocalSpec(text), elsewhere: false }));
  if (targetText !== undefined) wishes.unshift(shortWish(parseTarget(targetText), localPort));
  else if (localPort !== undefined)
    throw usage('-p goes with a PORT of the far end; with -L and -D the local port stands in it');
  return wishes;
}

function nothingToDo(): TunnelError {
  return usage(
    'nothing to forward; name a port of the far end (connect TICKET 22), a forward (-L 2222:localhost:22), a port of the far end (-R 8080:localhost:80) or a proxy (-D 1080)',
  );
}

function twiceStdin(): TunnelError {
  return usage(
    `-W needs standard input for its bytes, so that the ticket cannot come from there; use --ticket-file FILE or ${TICKET_VARIABLE}`,
  );
}

/** The target of `-W`, which goes with nothing else: it ends when its one connection does. */
function stdioOf(targetText: string | undefined, flags: ConnectFlags): HostPort | undefined {
  if (flags.stdio === undefined) return undefined;
  const { local, dynamic, reverse } = flags;
  if ([targetText, local, dynamic, reverse].some((other) => other !== undefined)) {
    throw usage('-W goes with no PORT, no -L, no -D and no -R; run those as a command of their own');
  }
  return parseTarget(flags.stdio);
}

function shortWish(target: HostPort, localPort: string | undefined): Wish {
  const port = localPort === undefined ? target.port : portOf(localPort, '-p');
  return { spec: { bind: { host: DEFAULT_BIND_HOST, port }, target }, elsewhere: localPort === undefined };
}

function refuseSelf(remote: Uint8Array, secretKey: Uint8Array): void {
  if (Buffer.compare(publicKeyOf(secretKey), remote) !== 0) return;
  throw new TunnelError(
    'ERR_ADDRESS_INVALID',
    'this leads to ourselves; a connector needs the ticket that the listener prints on the other machine',
  );
}

async function forward(
  { reporter }: Context,
  connector: ConnectorHandle,
  { spec, elsewhere }: Wish,
): Promise<void> {
  let made: Forward;
  let note: { note?: string } = {};
  try {
    made = await connector.forward(spec);
  } catch (error) {
    const { bind } = spec;
    if (!elsewhere || isPath(bind) || !isPortTrouble(error)) throw error;
    made = await connector.forward({ ...spec, bind: { ...bind, port: 0 } });
    note = { note: `port ${bind.port} is not to be had here; choose one with -p` };
  }
  reporter.event({ event: 'forward', local: made.local, target: made.target, ...note });
}

/** In use, or kept for the system: another port may do. */
function isPortTrouble(error: unknown): boolean {
  if (!TunnelError.is(error) || error.code !== 'ERR_LISTEN') return false;
  const { cause } = error;
  return (
    cause instanceof Error && 'code' in cause && (cause.code === 'EADDRINUSE' || cause.code === 'EACCES')
  );
}
