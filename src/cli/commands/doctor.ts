import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { parseTarget } from '../../rules/forward_spec.js';
import type { CommonOptions, ConnectorHandle, TunnelHandle } from '../api.js';
import { namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import { type NetworkFlags, networkOf, type OutputFlags } from '../options/flags.js';
import { type NetworkProxyFlags, networkProxyOf } from '../options/network_proxy.js';
import { remoteOf } from '../options/remote.js';
import { humanDuration } from '../output/human.js';
import { refusalText } from '../output/refusal_text.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { Lifetime } from '../process/lifetime.js';
import { peerOnline } from '../service/peer_online.js';
import type { Context } from '../service/serve.js';
import { Waiter } from '../service/waiter.js';
import { type NatKind, natKindOf } from './doctor_nat_kind.js';

export interface DoctorFlags extends OutputFlags, NetworkFlags, NetworkProxyFlags {
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
/** How long two nodes may take to tell where they see us, and how often they are asked. */
const SEEN_MS = 6_000;
const SEEN_AGAIN_MS = 500;

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
    const options = {
      ...networkOf(flags),
      ...(await networkProxyOf(flags, context.io)),
      bootstrap: await namedOrPublicNodes(context, flags),
    };
    const doctor = new Doctor(context, lifetime.signal, options);
    context.reporter.people('Looking at the network; that takes about a minute at most');
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
  #nat: Finding | undefined;

  constructor(context: Context, signal: AbortSignal, options: CommonOptions) {
    this.#context = context;
    this.#signal = signal;
    this.#waiter = new Waiter(context.io.timers, signal);
    this.#options = { ...options, logger: context.reporter.logger, signal };
  }

  /** Our own way into the network. */
  async network(): Promise<void> {
    const { bootstrap } = this.#options;
    const nodes = `${bootstrap.length} bootstrap ${bootstrap.length === 1 ? 'node' : 'nodes'}`;
    // A proxy takes no UDP.
    if (this.#options.proxy === undefined) {
      await this.#check('udp', () => this.#join(true, nodes));
      const nat = this.#nat;
      if (nat !== undefined) await this.#check('nat', async () => nat);
    }
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
      // Without any way in, what was received are no answers: others may still ask whoever had our port before.
      const answered = udp && tunnel.networkPath === 'relay' && (await tunnel.datagrams()).received > 0;
      const isGood = path === (udp ? 'udp' : 'relay') || answered;
      const since = this.#since(started);
      if (isGood && udp) this.#nat = await this.#lookForNat(tunnel);
      if (isGood) return good(`joined the network ${how} in ${since} (${nodes})`);
      return udp
        ? bad(
            `no answer by UDP within ${JOIN_MS / 1000} s (${nodes})`,
            'a firewall blocks UDP, or the names of the nodes cannot be looked up. If the relay below is good, tunnels work without UDP, through relays and slower; else ask whoever runs the network to let UDP out',
          )
        : bad(
            `no TCP relay answered within ${JOIN_MS / 1000} s (${nodes})`,
            this.#options.proxy !== undefined
              ? 'the proxy does not lead there; it may be down, want a password, or allow other ports only'
              : 'peers whose NATs let nothing through directly cannot be reached. A relay of your own helps: run tox-wasm-tunnel node --tcp-port 443 on a reachable machine, and name it by --bootstrap at both ends',
          );
    } finally {
      await tunnel.close();
    }
  }

  /** Undefined when it was cut short. */
  async #lookForNat(tunnel: TunnelHandle): Promise<Finding | undefined> {
    const local = this.#context.io.localAddresses().map(({ address }) => address);
    for (let waitedMs = 0; waitedMs < SEEN_MS && !isAborted(this.#signal); waitedMs += SEEN_AGAIN_MS) {
      const { udpPort, seen } = await tunnel.seenAddresses();
      const nat = natKindOf(seen, local, udpPort);
      if (nat !== undefined) return good(`${NATS[nat.kind]} (seen at ${nat.seenAs})`);
      await this.#waiter.pause(SEEN_AGAIN_MS);
    }
    if (isAborted(this.#signal)) return undefined;
    return good(
      'which kind of NAT there is cannot be told: that takes two nodes on different machines that answer',
    );
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
    return good(`through a TCP relay, ${roundTrip}: slower than a direct path. ${this.#whyRelayed()}`);
  }

  #whyRelayed(): string {
    if (this.#options.proxy !== undefined) return 'Through a proxy there is no other';
    return 'UDP is blocked at one end, or both NATs give each peer another port (symmetric NAT; see nat above, and doctor at the other end); a forwarded UDP port at one end (--udp-port) makes it direct';
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
      return bad(refusalText(outcome), 'see at the listener whether it runs there and is exposed');
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

/** What each kind of NAT means for a tunnel. */
const NATS: Readonly<Record<NatKind, string>> = {
  none: 'no NAT before the nodes: they see an address of this machine. Peers out there reach it directly, unless a firewall keeps out what was not asked for',
  'keeps-port': 'a NAT that gives all peers one port, the same as here: peers are reached directly',
  'moves-port': 'a NAT that gives all peers one port: peers are reached directly',
  symmetric:
    'a NAT that gives each peer another port (symmetric): peers behind such a one too are reached through a relay alone; a UDP port forwarded to this machine (--udp-port) makes it direct',
};

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
