import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { type HostPort, parseTarget, printHostPort } from '../../forward/spec.js';
import type { BootstrapAddress } from '../../node/bootstrap_list.js';
import type { CommonOptions, ConnectorHandle, TunnelHandle } from '../api.js';
import { namedOrPublicNodes } from '../bootstrap_nodes.js';
import { EXIT, type ExitCode } from '../exit_codes.js';
import { type NetworkFlags, networkOf, type OutputFlags } from '../flags.js';
import { humanDuration } from '../human.js';
import { Lifetime } from '../lifetime.js';
import { peerOnline } from '../peer_online.js';
import { remoteOf } from '../remote.js';
import type { Context } from '../serve.js';
import { Waiter } from '../waiter.js';

export interface DoctorFlags extends OutputFlags, NetworkFlags {
  readonly ticketFile?: string;
  /** Folder of the names. */
  readonly state?: string;
  /** Opens the names. */
  readonly passphraseFile?: string;
}

/** How long to wait, in milliseconds: for our own node to join, and for a peer, which is found in 1 to 10 s. */
const JOIN_MS = 30_000;
const PEER_MS = 90_000;
const DIAL_MS = 20_000;
const PING_MS = 5_000;

/** What a check found. */
interface Finding {
  readonly ok: boolean;
  readonly message: string;
}

/**
 * Looks at each step that a tunnel needs, and says in a sentence what is wrong and what to do.
 * Saves nothing, and uses identities of its own.
 */
export async function doctorCommand(
  context: Context,
  first: string | undefined,
  second: string | undefined,
  flags: DoctorFlags,
): Promise<ExitCode> {
  const asked = first !== undefined || flags.ticketFile !== undefined;
  const named = asked ? await remoteOf(context.io, first, second, flags) : undefined;
  const target = named?.target === undefined ? undefined : parseTarget(named.target);
  const lifetime = new Lifetime(context.io);
  context.onOutputLost(() => lifetime.stop());
  try {
    const doctor = new Doctor(context, lifetime.signal, await namedOrPublicNodes(flags), flags);
    context.reporter.people('Looking at the network; that takes a minute at most');
    await doctor.network();
    if (named !== undefined) {
      context.reporter.people('Looking for the listener');
      await doctor.peer(named.remote, target);
    }
    return doctor.isWell ? EXIT.ok : EXIT.failure;
  } finally {
    lifetime.dispose();
  }
}

class Doctor {
  isWell = true;
  readonly #context: Context;
  readonly #signal: AbortSignal;
  readonly #waiter: Waiter;
  readonly #options: CommonOptions;

  constructor(
    context: Context,
    signal: AbortSignal,
    bootstrap: readonly BootstrapAddress[],
    flags: NetworkFlags,
  ) {
    this.#context = context;
    this.#signal = signal;
    this.#waiter = new Waiter(context.io.timers, signal);
    this.#options = { ...networkOf(flags), bootstrap, logger: context.reporter.logger, signal };
  }

  /** Our own way into the network. */
  async network(): Promise<void> {
    const { bootstrap } = this.#options;
    const nodes = `${bootstrap.length} bootstrap ${bootstrap.length === 1 ? 'node' : 'nodes'}`;
    await this.#check('udp', () => this.#join(true, nodes));
    await this.#check('relay', () => this.#join(false, nodes));
  }

  /** The way to a listener, and to a target of its. */
  async peer(remote: Parameters<typeof isTicket>[0], target: HostPort | undefined): Promise<void> {
    const { connect } = await this.#context.io.loadApi();
    if (this.#signal.aborted) return;
    const started = this.#now();
    const connector = await connect({ ...this.#options, remote });
    try {
      const online = await this.#waiter.within(PEER_MS, peerOnline(connector));
      await this.#check('peer', async () => {
        if (online !== undefined) return good(`the listener was found in ${this.#since(started)}`);
        const known = isTicket(remote)
          ? 'it does not take this ticket (any longer)'
          : 'it does not allow our key';
        return bad(
          `the listener was not found within ${PEER_MS / 1000} s`,
          `it is away, or ${known}: it tells nobody which. Look whether it runs and says "Joined the Tox network"`,
        );
      });
      if (online === undefined) return;
      await this.#check('path', () => this.#path(connector));
      if (target !== undefined) await this.#check('target', () => this.#dial(connector, target));
    } finally {
      await connector.close();
    }
  }

  async #join(udp: boolean, nodes: string): Promise<Finding> {
    const { listen } = await this.#context.io.loadApi();
    const started = this.#now();
    const tunnel = await listen({ ...this.#options, udp });
    try {
      const how = udp ? 'by UDP' : 'through a TCP relay';
      const path = await this.#waiter.within(JOIN_MS, joined(tunnel, udp));
      // In a network of private addresses alone toxcore takes its relays for the way in; that UDP is answered shows all the same.
      const answered = udp && path !== 'udp' && (await tunnel.datagrams()).received > 0;
      if (path === (udp ? 'udp' : 'relay') || answered)
        return good(`joined the network ${how} in ${this.#since(started)} (${nodes})`);
      return udp
        ? bad(
            `no answer by UDP within ${JOIN_MS / 1000} s (${nodes})`,
            'a firewall blocks UDP, or the names of the nodes cannot be looked up. If the relay below is good, tunnels work without UDP, through relays and slower; else ask whoever runs the network to let UDP out',
          )
        : bad(
            `no TCP relay answered within ${JOIN_MS / 1000} s (${nodes})`,
            'peers whose NATs let nothing through directly cannot be reached. A relay of your own helps: run tox-wasm-tunnel node --tcp-port 443 on a reachable machine, and name it by --bootstrap at both ends',
          );
    } finally {
      await tunnel.close();
    }
  }

  async #path(connector: ConnectorHandle): Promise<Finding> {
    const answer = await this.#waiter.within(
      PING_MS,
      connector.ping().catch(() => undefined),
    );
    if (answer === undefined)
      return bad(`the listener gave no answer within ${PING_MS / 1000} s`, 'try again');
    const roundTrip = `round trip ${answer.roundTripMs.toFixed(1)} ms`;
    if (answer.path === 'udp') return good(`directly by UDP, ${roundTrip}`);
    return good(
      `through a TCP relay, ${roundTrip}: slower than a direct path. UDP is blocked at one end, or both NATs give each peer another port (symmetric NAT); a forwarded UDP port at one end (--udp-port) makes it direct`,
    );
  }

  async #dial(connector: ConnectorHandle, target: HostPort): Promise<Finding> {
    const name = printHostPort(target);
    const stream = connector.dial(target);
    try {
      const outcome = await this.#waiter.within(
        DIAL_MS,
        new Promise<true | Error>((resolve) => {
          stream.on('connect', () => resolve(true));
          stream.on('error', resolve);
        }),
      );
      if (outcome === true) return good(`the listener reaches ${name}`);
      if (outcome === undefined) return bad(`no word about ${name} within ${DIAL_MS / 1000} s`, 'try again');
      return bad(outcome.message, 'see at the listener whether it runs there and is exposed');
    } finally {
      stream.destroy();
    }
  }

  async #check(check: string, look: () => Promise<Finding>): Promise<void> {
    if (this.#signal.aborted) return;
    let finding: Finding;
    try {
      finding = await look();
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      finding = { ok: false, message: error.message };
    }
    // What was cut short says nothing.
    if (isAborted(this.#signal)) return;
    this.isWell &&= finding.ok;
    this.#context.reporter.event({ event: 'check', check, ...finding });
  }

  #now(): number {
    return this.#context.io.timers.nowMs();
  }

  #since(startedMs: number): string {
    return humanDuration(Math.max(1000, this.#now() - startedMs));
  }
}

const good = (message: string): Finding => ({ ok: true, message });
const bad = (message: string, remedy: string): Finding => ({ ok: false, message: `${message}; ${remedy}` });

/** How it joined the network first: by UDP when that is looked for and there, undefined when it came to an end. */
function joined(tunnel: TunnelHandle, udp: boolean): Promise<'udp' | 'relay' | undefined> {
  return new Promise((resolve) => {
    tunnel.on('network', ({ path }) => {
      if (path === 'udp' || (path === 'relay' && !udp)) resolve(path);
      else if (path === 'relay')
        void tunnel.datagrams().then(({ received }) => received > 0 && resolve(path));
    });
    tunnel.on('error', () => resolve(undefined));
  });
}

/** It may be aborted between two looks, which TypeScript does not expect of a property. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
