import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { looksLikeName } from '../../core/host.js';
import { quotedWord } from '../../core/secret_text.js';
import { upperHex } from '../../network/tox_id.js';
import { type HostPort, isPath } from '../../rules/endpoint.js';
import {
  DEFAULT_BIND_HOST,
  parseLocalSpec,
  parseReverseSpec,
  parseTarget,
  parseUdpSpec,
  type ReverseSpec,
  type UdpSpec,
} from '../../rules/forward_spec.js';
import { type Call, type Context, defineCommand } from '../command.js';
import { connectOptions } from '../options/common_options.js';
import {
  type MetricsFlags,
  metricsOf,
  millisecondsOf,
  type NetworkFlags,
  type OutputFlags,
  type PatienceFlags,
  portOf,
  type StateFlags,
  stateFolderOf,
  type UdpFlags,
} from '../options/flags.js';
import { type LimitFlags, limitsOfFlags } from '../options/limit_flags.js';
import { expectDistinct, localPlaces } from '../options/local_ports.js';
import { readValue, readValues } from '../options/named_value.js';
import { type DynamicFlags, dynamicForwardsOf } from '../options/proxies.js';
import { type Remote, remoteOf, remoteText, STDIN } from '../options/remote.js';
import { usage } from '../options/usage.js';
import { addedEvent, type RunningForward } from '../output/forward_text.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { ConnectorHandle, ProxyOptions } from '../process/library.js';
import { TICKET_VARIABLE } from '../process/secret_variables.js';
import { connectorMethods } from '../service/connector_methods.js';
import { connectorService } from '../service/connector_service.js';
import { type ExecFlags, joinStdio, programOf, runProgram } from '../service/foreground.js';
import { needRestart, type Reload } from '../service/reload.js';
import { RunningForwards } from '../service/running_forwards.js';
import { serve } from '../service/serve.js';
import { statusMethod } from '../service/status_method.js';
import { connectorUp, Waiter } from '../service/waiting.js';
import { changeForwards, type Wish, wantedForwards } from '../service/wanted_forwards.js';
import { Lender, notAvailable, remoteDigest, runLent } from './lent_connection.js';

interface ConnectFlags
  extends OutputFlags,
    StateFlags,
    NetworkFlags,
    UdpFlags,
    PatienceFlags,
    MetricsFlags,
    DynamicFlags,
    LimitFlags,
    Pick<ExecFlags, 'exec'> {
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

export const connect = defineCommand<ConnectFlags>({
  name: 'connect',
  group: 'Tunnels',
  summary: 'Forward local ports to targets that a listener reaches',
  arguments: {
    '[TICKET]': 'ticket, name or Tox ID of the listener; - reads it from standard input',
    '[PORT]': 'port, or host:port, of a target that the listener reaches',
  },
  options: connectOptions(),
  configure: (command) =>
    command.usage('[options] [TICKET] [PORT] [-- PROGRAM ARGUMENT...]').allowExcessArguments(),
  help: `
Examples:
  $ tox-wasm-tunnel connect TICKET 22
  $ tox-wasm-tunnel TICKET 22                                           (the same)
  $ tox-wasm-tunnel TICKET 22 -p 2222                                   (at 127.0.0.1:2222)
  $ tox-wasm-tunnel TICKET db.lan:5432                                  (a host behind the listener)
  $ tox-wasm-tunnel connect TICKET -L 2222:localhost:22 -L 8080:intra.lan:80
  $ tox-wasm-tunnel connect TICKET -L 0.0.0.0:8080:localhost:80         (open to other machines)
  $ tox-wasm-tunnel connect TICKET -L [::1]:0:[::1]:5432                (any free local port)
  $ tox-wasm-tunnel connect TICKET -D 1080                              (SOCKS5 and HTTP proxy)
  $ tox-wasm-tunnel connect TICKET -L /tmp/app.sock:/run/app.sock       (UNIX sockets)
  $ tox-wasm-tunnel connect TICKET -R 8080:localhost:80                 (its port 8080 leads here)
  $ tox-wasm-tunnel connect TICKET --udp-forward 5353:localhost:53      (UDP datagrams)
  $ tox-wasm-tunnel connect --ticket-file FILE 22
  $ tox-wasm-tunnel connect - 22 < FILE
  $ tox-wasm-tunnel connect TICKET 5432 --wait 60 -- psql -h 127.0.0.1  (run a program)
  $ tox-wasm-tunnel connect TICKET -L 0:localhost:80 --exec ./job.sh    (in the shell)
  $ ssh -o 'ProxyCommand tox-wasm-tunnel connect --ticket-file FILE -W localhost:%p' home

Every user of this machine can read a TICKET on the command line in the process list. Use
--ticket-file, - (standard input) or the environment variable TOX_WASM_TUNNEL_TICKET to hide it.

Exit codes:
  0    stopped
  1    failed
  2    wrong usage or input
  102  the listener could not be added as a friend: its Tox ID is not accepted
  202  the listener does not accept this peer, or no longer does
  203  with --wait: messages to the listener could not be sent in time
  204  with --wait: the listener was not online in time, or does not accept this ticket
With a program, its own exit code. All codes: docs/reference/exit-codes.md`,
  stdoutOwner: ({ flags: { stdio, exec }, wordsAfterDashes }) =>
    exec !== undefined || wordsAfterDashes !== undefined
      ? 'program'
      : stdio !== undefined
        ? 'connection'
        : undefined,
  run: (context, call) => runConnect(context, call),
});

async function runConnect(context: Context, call: Call<ConnectFlags>): Promise<ExitCode> {
  const { io, reporter } = context;
  const { flags } = call;
  const { first, second, third, program: words } = splitWords(call);
  reporter.logEvents();
  const program = programOf({ ...flags, ...words });
  if (flags.stdio !== undefined && first === STDIN) throw twiceStdin('-W');
  if (program !== undefined && first === STDIN) throw twiceStdin('the program');
  const waitMs = flags.wait === undefined ? undefined : millisecondsOf(flags.wait, '--wait', 1);
  const listener = await remoteOf(io, first, second, flags, context.grammar.commandNames);
  const { remote, target: targetText } = listener;
  // Checked only now, because the first word is often a mistyped command, and remoteOf says so.
  if (third !== undefined) throw tooManyWords(third);
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  const stdio = stdioOf(targetText, flags, program !== undefined);
  const proxies = await dynamicForwardsOf(flags, io);
  const wishes = wishesOf(targetText, flags);
  const reverses = readValues('-R', flags.reverse, parseReverseSpec);
  const metrics = metricsOf(flags);
  const udps = readValues('--udp-forward', flags.udpForward, parseUdpSpec);
  if (wishes.length + proxies.length + reverses.length + udps.length === 0 && stdio === undefined)
    throw nothingToDo();
  expectDistinct([
    ...wishes
      .filter(({ option }) => option === '-p')
      .map(({ spec: { bind }, anyPort }) => ({
        option: anyPort ? `PORT ${targetText}` : `-p ${flags.localPort}`,
        bind,
        protocol: 'tcp' as const,
      })),
    ...localPlaces(flags),
    ...(metrics === undefined ? [] : [{ option: '--metrics', bind: metrics, protocol: 'tcp' as const }]),
  ]);
  const peer = upperHex(publicKey);
  const onAdded = (added: RunningForward, note?: string) => reporter.event(addedEvent(added, peer, note));
  if (program === undefined && waitMs === undefined && !needsOwnConnection(flags)) {
    const lender = await Lender.find(await stateFolderOf(flags, io), remote, io.timers);
    const wants = { wishes, udps: flags.udpForward, proxies, reverses: flags.reverse, stdio };
    const code = lender && (await runLent(context, lender, wants, onAdded));
    if (code !== undefined) return code;
  }
  return serve<ConnectorHandle>(context, {
    ...(await connectorService(context, listener, flags)),
    metrics,
    endsOnHangUp: stdio !== undefined || program !== undefined,
    runsProgram: program !== undefined,
    begin: (connector) => {
      const forwards = new RunningForwards(connector);
      return {
        control: {
          ...statusMethod({ role: 'connector', handle: connector, forwards: () => forwards.list(), io }),
          ...connectorMethods({
            forwards,
            remoteDigest: remoteDigest(remote),
            timers: io.timers,
            isOnline: () => connector.peers().some(({ status }) => status === 'online'),
            onAdded,
            onRemoved: ({ kind, listen, target }) =>
              reporter.event({ event: 'removed', kind, local: listen, target }),
          }),
        },
        reload: reloadOf(context, forwards, call, { remote, reverses, udps, proxies, wishes }),
        up: async (lifetime) => {
          reporter.event({ event: 'started', toxId: connector.toxId });
          for (const wish of explicitFirst(wishes)) await forward(forwards, wish, onAdded);
          for (const spec of udps) onAdded((await forwards.addUdp(spec)).now);
          for (const proxy of proxies) onAdded((await forwards.addDynamic(proxy)).now);
          for (const spec of reverses) onAdded(forwards.addReverse(spec).now);
          if (program !== undefined || waitMs !== undefined)
            await connectorUp(connector, forwards, new Waiter(io.timers, lifetime.signal), waitMs);
          if (stdio !== undefined) joinStdio(io, connector, stdio, lifetime);
        },
        ...(program !== undefined && {
          run: (lifetime) => runProgram(context, program, forwards.list(), lifetime),
        }),
      };
    },
  });
}

/** What a call asks for, parsed. */
interface Wanted {
  readonly remote: Remote['remote'];
  readonly wishes: readonly Wish[];
  readonly udps: readonly UdpSpec[];
  readonly proxies: readonly ProxyOptions[];
  readonly reverses: readonly ReverseSpec[];
}

/** Options that {@link reloadOf} applies. */
const RELOADED: readonly (keyof ConnectFlags)[] = ['local', 'dynamic', 'reverse', 'udpForward'];

/** Returns a function that applies the forwards of a call that was read again. */
function reloadOf(
  { io, grammar }: Context,
  forwards: RunningForwards,
  { flags: first, words }: Call<ConnectFlags>,
  atStart: Wanted,
): Reload {
  const [word, target] = words;
  // Standard input and the environment give a ticket only once.
  const isReadable = first.ticketFile !== undefined || (word !== undefined && looksLikeName(word));
  let now = wantedForwards({ ...atStart, locals: atStart.wishes.map(({ spec }) => spec) });
  return async ({ flags }) => {
    // The call is parsed by the same command as the first one.
    const next = flags as ConnectFlags;
    const restart = needRestart(first, next, RELOADED);
    if (isReadable) {
      const { remote } = await remoteOf(io, word, target, next, grammar.commandNames);
      if (remoteText(remote) !== remoteText(atStart.remote)) restart.push('the ticket');
    }
    const wanted = wantedForwards({
      locals: [
        // PORT on the command line stays in effect.
        ...atStart.wishes.filter(({ option }) => option === '-p').map(({ spec }) => spec),
        ...readValues('-L', next.local, parseLocalSpec),
      ],
      udps: readValues('--udp-forward', next.udpForward, parseUdpSpec),
      proxies: await dynamicForwardsOf(next, io),
      reverses: readValues('-R', next.reverse, parseReverseSpec),
    });
    const changes = await changeForwards(forwards, now, wanted);
    now = wanted;
    return { changes, restart };
  };
}

/** Whether options ask for a connection that another process may not have. */
function needsOwnConnection(flags: ConnectFlags & { readonly proxy?: string }): boolean {
  const { ephemeral, metrics, proxy, udp, bind, patience } = flags;
  return (
    ephemeral === true ||
    udp === false ||
    [metrics, proxy, bind, patience, limitsOfFlags(flags).limits].some((asked) => asked !== undefined)
  );
}

/** The words before `--`, and the program after it. */
interface ConnectWords {
  readonly first: string | undefined;
  readonly second: string | undefined;
  /** One word too many. */
  readonly third: string | undefined;
  readonly program: Pick<ExecFlags, 'program'>;
}

function splitWords({ words, wordsAfterDashes }: Call<ConnectFlags>): ConnectWords {
  const split = words.length - (wordsAfterDashes ?? 0);
  const [first, second, third] = words.slice(0, split);
  const program = wordsAfterDashes === undefined ? {} : { program: words.slice(split) };
  return { first, second, third, program };
}

function tooManyWords(third: string): TunnelError {
  const wayOn = /^\d+$/.test(third) ? `-p ${third} chooses the local port` : 'put -- before a program to run';
  return usage(`too many arguments: ${quotedWord(third)} comes after TICKET and PORT; ${wayOn}`);
}

function wishesOf(targetText: string | undefined, { local = [], localPort }: ConnectFlags): Wish[] {
  const wishes = readValues('-L', local, parseLocalSpec).map(
    (spec): Wish => ({ spec, option: '-L', anyPort: false }),
  );
  if (targetText !== undefined)
    wishes.unshift(shortWish(readValue('PORT', targetText, parseTarget), localPort));
  else if (localPort !== undefined)
    throw usage('-p needs PORT after the ticket; -L and -D contain their own local port');
  return wishes;
}

/**
 * Puts a forward at ::1 before the one at the default loopback with the same port, which would take ::1 too if it is
 * free.
 */
function explicitFirst(wishes: readonly Wish[]): readonly Wish[] {
  const defaults = wishes.flatMap(({ spec: { bind } }) =>
    isPath(bind) || !bind.isDefault ? [] : [bind.port],
  );
  const isBeside = ({ spec: { bind } }: Wish): boolean =>
    !isPath(bind) && bind.host === '::1' && defaults.includes(bind.port);
  return [...wishes.filter(isBeside), ...wishes.filter((wish) => !isBeside(wish))];
}

function nothingToDo(): TunnelError {
  return usage(
    'nothing to forward; give a port of the listener (connect TICKET 22), a local forward (-L 2222:localhost:22), a reverse forward (-R 8080:localhost:80), a UDP forward (--udp-forward 5353:localhost:53) or a proxy (-D 1080)',
  );
}

function twiceStdin(who: string): TunnelError {
  return usage(
    `${who} needs standard input, so the ticket cannot come from there; use --ticket-file FILE or ${TICKET_VARIABLE}`,
  );
}

/** The target of `-W`. It allows no other forwards, because the command ends with its one connection. */
function stdioOf(
  targetText: string | undefined,
  flags: ConnectFlags,
  hasProgram: boolean,
): HostPort | undefined {
  if (flags.stdio === undefined) return undefined;
  if (hasProgram) throw usage('-W cannot be combined with --exec or a program after --');
  const { local, dynamic, reverse, udpForward } = flags;
  if ([targetText, local, dynamic, reverse, udpForward].some((other) => other !== undefined)) {
    throw usage(
      '-W cannot be combined with PORT, -L, -D, -R or --udp-forward; run those in a separate command',
    );
  }
  return readValue('-W', flags.stdio, parseTarget);
}

function shortWish(target: HostPort, localPort: string | undefined): Wish {
  const port = localPort === undefined ? target.port : portOf(localPort, '-p');
  const bind = { host: DEFAULT_BIND_HOST, port, isDefault: true };
  return { spec: { bind, target }, option: '-p', anyPort: localPort === undefined };
}

async function forward(
  forwards: RunningForwards,
  { spec, option, anyPort }: Wish,
  onAdded: (added: RunningForward, note?: string) => void,
): Promise<void> {
  try {
    onAdded((await forwards.addLocal(spec, option)).now);
  } catch (error) {
    const { bind } = spec;
    if (!anyPort || isPath(bind) || !isPortUnavailable(error)) throw error;
    const added = await forwards.addLocal({ ...spec, bind: { ...bind, port: 0 } });
    onAdded(added.now, notAvailable(bind.port));
  }
}

/** True when the port is in use or reserved, so that another port may work. */
function isPortUnavailable(error: unknown): boolean {
  if (!TunnelError.is(error) || error.code !== 'ERR_LISTEN') return false;
  const { cause } = error;
  return (
    cause instanceof Error && 'code' in cause && (cause.code === 'EADDRINUSE' || cause.code === 'EACCES')
  );
}
