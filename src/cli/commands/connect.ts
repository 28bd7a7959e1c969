import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { upperHex } from '../../network/tox_id.js';
import { type HostPort, isPath } from '../../rules/endpoint.js';
import {
  DEFAULT_BIND_HOST,
  type LocalSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseTarget,
  parseUdpSpec,
} from '../../rules/forward_spec.js';
import type { ConnectorHandle } from '../api.js';
import {
  type MetricsFlags,
  millisecondsOf,
  type NetworkFlags,
  type OutputFlags,
  type PatienceFlags,
  portOf,
  type StateFlags,
  type UdpFlags,
  usage,
} from '../options/flags.js';
import type { LimitFlags } from '../options/limit_flags.js';
import { type ProxyFlags, proxiesOf } from '../options/proxy_flags.js';
import { remoteOf, STDIN } from '../options/remote.js';
import { addedEvent } from '../output/forward_text.js';
import type { ExitCode } from '../process/exit_codes.js';
import { TICKET_VARIABLE } from '../process/secret_variables.js';
import { connectorMethods } from '../service/connector_methods.js';
import { connectorService } from '../service/connector_service.js';
import { type ExecFlags, programOf, runProgram } from '../service/exec.js';
import { type RunningForward, RunningForwards } from '../service/running_forwards.js';
import { type Context, serve } from '../service/serve.js';
import { statusMethod } from '../service/status_method.js';
import { joinStdio } from '../service/stdio.js';
import { connectorUp } from '../service/wait_up.js';
import { Waiter } from '../service/waiter.js';

export interface ConnectFlags
  extends OutputFlags,
    StateFlags,
    NetworkFlags,
    UdpFlags,
    PatienceFlags,
    MetricsFlags,
    ProxyFlags,
    LimitFlags,
    ExecFlags {
  /** Arguments of `-L`. */
  readonly local?: readonly string[];
  /** Arguments of `-R`. */
  readonly reverse?: readonly string[];
  /** Arguments of `--udp-forward`. */
  readonly udpForward?: readonly string[];
  readonly ticketFile?: string;
  /** Argument of `-W`. */
  readonly stdio?: string;
  /** Argument of `-p`. */
  readonly localPort?: string;
  /** Seconds. */
  readonly wait?: string;
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
  context.reporter.logEvents();
  const program = programOf(flags);
  if (flags.stdio !== undefined && first === STDIN) throw twiceStdin('-W needs');
  if (program !== undefined && first === STDIN) throw twiceStdin('the program has');
  const waitMs = flags.wait === undefined ? undefined : millisecondsOf(flags.wait, '--wait', 1);
  const { remote, target: targetText } = await remoteOf(context.io, first, second, flags);
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  const stdio = stdioOf(targetText, flags);
  const proxies = await proxiesOf(flags);
  const wishes = wishesOf(targetText, flags);
  const reverses = (flags.reverse ?? []).map(parseReverseSpec);
  const udps = (flags.udpForward ?? []).map(parseUdpSpec);
  if (wishes.length + proxies.length + reverses.length + udps.length === 0 && stdio === undefined)
    throw nothingToDo();
  const peer = upperHex(publicKey);
  let made: RunningForwards | undefined;
  const forwardsOf = (connector: ConnectorHandle) => (made ??= new RunningForwards(connector));
  const onAdded = (added: RunningForward, note?: string) =>
    context.reporter.event(addedEvent(added, peer, note));
  return serve<ConnectorHandle>(context, {
    ...(await connectorService(context, remote, flags)),
    metrics: flags.metrics,
    endsOnHangUp: stdio !== undefined || program !== undefined,
    control: (connector) => ({
      ...statusMethod({
        role: 'connector',
        handle: connector,
        forwards: () => forwardsOf(connector).list(),
        io: context.io,
      }),
      ...connectorMethods({
        forwards: forwardsOf(connector),
        timers: context.io.timers,
        isOnline: () => connector.peers().some(({ status }) => status === 'online'),
        onAdded,
        onRemoved: ({ kind, listen, target }) =>
          context.reporter.event({ event: 'removed', kind, local: listen, target }),
      }),
    }),
    up: async (connector, lifetime) => {
      context.reporter.event({ event: 'started', toxId: connector.toxId });
      const forwards = forwardsOf(connector);
      for (const wish of wishes) await forward(forwards, wish, onAdded);
      for (const spec of udps) onAdded((await forwards.addUdp(spec)).now);
      for (const proxy of proxies) onAdded((await forwards.addDynamic(proxy)).now);
      for (const spec of reverses) onAdded(forwards.addReverse(spec).now);
      if (program !== undefined || waitMs !== undefined)
        await connectorUp(connector, forwards, new Waiter(context.io.timers, lifetime.signal), waitMs);
      if (stdio !== undefined) joinStdio(context.io, connector, stdio, lifetime);
    },
    ...(program === undefined
      ? {}
      : {
          run: (connector, lifetime) => runProgram(context, program, forwardsOf(connector).list(), lifetime),
        }),
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
    'nothing to forward; name a port of the far end (connect TICKET 22), a forward (-L 2222:localhost:22), a port of the far end (-R 8080:localhost:80), datagrams (--udp-forward 5353:localhost:53) or a proxy (-D 1080)',
  );
}

function twiceStdin(who: string): TunnelError {
  return usage(
    `${who} standard input for its bytes, so that the ticket cannot come from there; use --ticket-file FILE or ${TICKET_VARIABLE}`,
  );
}

/** The target of `-W`, which goes with nothing else: it ends when its one connection does. */
function stdioOf(targetText: string | undefined, flags: ConnectFlags): HostPort | undefined {
  if (flags.stdio === undefined) return undefined;
  if (programOf(flags) !== undefined) throw usage('-W goes with no --exec and no program after --');
  const { local, dynamic, reverse, udpForward } = flags;
  if ([targetText, local, dynamic, reverse, udpForward].some((other) => other !== undefined)) {
    throw usage(
      '-W goes with no PORT, no -L, no -D, no -R and no --udp-forward; run those as a command of their own',
    );
  }
  return parseTarget(flags.stdio);
}

function shortWish(target: HostPort, localPort: string | undefined): Wish {
  const port = localPort === undefined ? target.port : portOf(localPort, '-p');
  return { spec: { bind: { host: DEFAULT_BIND_HOST, port }, target }, elsewhere: localPort === undefined };
}

async function forward(
  forwards: RunningForwards,
  { spec, elsewhere }: Wish,
  onAdded: (added: RunningForward, note?: string) => void,
): Promise<void> {
  try {
    onAdded((await forwards.addLocal(spec)).now);
  } catch (error) {
    const { bind } = spec;
    if (!elsewhere || isPath(bind) || !isPortTrouble(error)) throw error;
    const added = await forwards.addLocal({ ...spec, bind: { ...bind, port: 0 } });
    onAdded(added.now, `port ${bind.port} is not to be had here; choose one with -p`);
  }
}

/** In use, or kept for the system: another port may do. */
function isPortTrouble(error: unknown): boolean {
  if (!TunnelError.is(error) || error.code !== 'ERR_LISTEN') return false;
  const { cause } = error;
  return (
    cause instanceof Error && 'code' in cause && (cause.code === 'EADDRINUSE' || cause.code === 'EACCES')
  );
}
