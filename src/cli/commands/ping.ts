import { Option } from 'commander';
import { tenths } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { type Context, defineCommand } from '../command.js';
import { output, sockets, state, ticketFile } from '../options/common_options.js';
import type { NetworkFlags, OutputFlags, StateFlags, UdpFlags } from '../options/flags.js';
import { remoteOf } from '../options/remote.js';
import { usage } from '../options/usage.js';
import type { Reporter } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import type { ConnectorHandle } from '../process/library.js';
import { connectorService } from '../service/connector_service.js';
import { serve } from '../service/serve.js';
import { peerOnline, Waiter } from '../service/waiting.js';

interface PingFlags extends OutputFlags, StateFlags, NetworkFlags, UdpFlags {
  readonly ticketFile?: string;
  /** Argument of `-c`. */
  readonly count?: string;
}

const DEFAULT_COUNT = 5;
const MAX_COUNT = 1_000_000;
/** Time between two pings, in milliseconds. */
const INTERVAL_MS = 1_000;
/** Time after which an answer counts as lost, in milliseconds. */
const LOST_MS = 5_000;
/** Time limit for finding the listener, in milliseconds. Friends find each other in 1 to 10 s. */
const FOUND_MS = 90_000;

export const ping = defineCommand<PingFlags>({
  name: 'ping',
  group: 'Tunnels',
  summary: 'Measure the round trip to a listener and show the path',
  stateOf: ['connect'],
  arguments: { '[TICKET]': 'ticket, name or Tox ID of the listener; - reads it from standard input' },
  options: [
    new Option('-c, --count <N>', `number of pings, one per second (default: ${DEFAULT_COUNT})`),
    ticketFile(),
    ...sockets(),
    ...state(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel ping TICKET                send five pings, then print a summary
  $ tox-wasm-tunnel ping --ticket-file FILE -c 60
  $ tox-wasm-tunnel ping TICKET --no-udp       use TCP relays only

Exits with 1 when the listener is not found within 90 s, or answers no ping.`,
  run: (context, { words: [remote], flags }) => runPing(context, remote, flags),
});

async function runPing(context: Context, first: string | undefined, flags: PingFlags): Promise<ExitCode> {
  const count = countOf(flags.count);
  const listener = await remoteOf(context.io, first, undefined, flags);
  return serve<ConnectorHandle>(context, {
    ...(await connectorService(context, listener, flags)),
    begin: (connector) => ({
      up: async (lifetime) => {
        context.reporter.event({ event: 'started', toxId: connector.toxId });
        context.reporter.people('Looking for the listener');
        const pings = new Pings(context.io, context.reporter, connector, lifetime.signal);
        await pings.found();
        await pings.run(count);
        lifetime.stop();
      },
    }),
  });
}

function countOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_COUNT;
  const count = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MAX_COUNT)
    throw usage(
      `-c ${JSON.stringify(text)} is not a number of pings from 1 to ${MAX_COUNT}, for example ${DEFAULT_COUNT}`,
    );
  return count;
}

class Pings {
  readonly #waiter: Waiter;
  readonly #reporter: Reporter;
  readonly #connector: ConnectorHandle;
  readonly #signal: AbortSignal;

  constructor(io: CliIo, reporter: Reporter, connector: ConnectorHandle, signal: AbortSignal) {
    this.#waiter = new Waiter(io.timers, signal);
    this.#reporter = reporter;
    this.#connector = connector;
    this.#signal = signal;
  }

  /** Waits until the listener is online. @throws {TunnelError} ERR_PEER_GONE when the time is up */
  async found(): Promise<void> {
    const online = await this.#waiter.within(FOUND_MS, peerOnline(this.#connector));
    if (online !== undefined || this.#signal.aborted) return;
    throw new TunnelError(
      'ERR_PEER_GONE',
      `the listener was not found within ${FOUND_MS / 1000} s: it is offline, rejects this ticket, or the network blocks the connection; check the network with tox-wasm-tunnel doctor`,
    );
  }

  /** @throws {TunnelError} ERR_PEER_GONE when no ping was answered */
  async run(count: number): Promise<void> {
    const tripsMs: number[] = [];
    for (let number = 1; number <= count && !this.#signal.aborted; number++) {
      if (number > 1) await this.#waiter.pause(INTERVAL_MS);
      const answer = await this.#waiter.within(
        LOST_MS,
        this.#connector.ping().catch(() => undefined),
      );
      if (answer !== undefined) tripsMs.push(answer.roundTripMs);
      this.#reporter.event({
        event: 'ping',
        number,
        ...(answer === undefined ? {} : { roundTripMs: tenths(answer.roundTripMs), path: answer.path }),
      });
    }
    const summary = { sent: count, received: tripsMs.length };
    if (tripsMs.length === 0) {
      this.#reporter.event({ event: 'pings', ...summary });
      if (this.#signal.aborted) return;
      throw new TunnelError('ERR_PEER_GONE', `none of ${count} pings was answered; try again`);
    }
    this.#reporter.event({
      event: 'pings',
      ...summary,
      leastMs: tenths(Math.min(...tripsMs)),
      meanMs: tenths(tripsMs.reduce((sum, ms) => sum + ms, 0) / tripsMs.length),
      mostMs: tenths(Math.max(...tripsMs)),
    });
  }
}
