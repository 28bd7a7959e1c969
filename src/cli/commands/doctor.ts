import { isIP } from 'node:net';
import * as v from 'valibot';
import { isTicket } from '../../access/ticket.js';
import { isAborted } from '../../core/aborting.js';
import { Timer } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import type { Path } from '../../core/tox_network.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { parseTarget } from '../../rules/forward_spec.js';
import { type OpenedIdentity, openIdentity, readIdentity } from '../../state/identity_file.js';
import { type Context, defineCommand } from '../command.js';
import { namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import {
  binding,
  nodeList,
  output,
  passphrase,
  proxy,
  stateFolder,
  ticketFile,
} from '../options/common_options.js';
import { type NetworkFlags, networkOf, type OutputFlags } from '../options/flags.js';
import { readValue } from '../options/named_value.js';
import { passphraseOf } from '../options/passphrase.js';
import { type NetworkProxyFlags, networkProxyOf } from '../options/proxies.js';
import { type Remote, remoteOf } from '../options/remote.js';
import { humanDuration, refusalText } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import type { ConnectorHandle, TunnelHandle } from '../process/library.js';
import { Lifetime } from '../process/lifetime.js';
import { StatusSchema } from '../service/status_method.js';
import { peerOnline, Waiter } from '../service/waiting.js';
import { bad, type Finding, good, Internet } from './doctor_internet.js';
import { Lender } from './lent_connection.js';

interface DoctorFlags extends OutputFlags, NetworkFlags, NetworkProxyFlags {
  readonly ticketFile?: string;
  /** The folder of the names. */
  readonly state?: string;
  /** Decrypts the names. */
  readonly passphraseFile?: string;
}

export const doctor = defineCommand<DoctorFlags>({
  name: 'doctor',
  group: 'Tunnels',
  summary: 'Find out why a tunnel does not work',
  stateOf: ['connect'],
  arguments: {
    '[TICKET]': 'ticket, name or Tox ID of a listener; - reads it from standard input',
    '[PORT]': 'port, or host:port, of a target that the listener reaches',
  },
  options: [ticketFile(), ...nodeList(), ...proxy(), ...binding(), stateFolder(), passphrase(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel doctor                     check this machine's network: UDP, NAT, TCP relays
  $ tox-wasm-tunnel doctor TICKET              and the path to a listener
  $ tox-wasm-tunnel doctor TICKET 22           and a target that the listener reaches

Shows each check as it runs. Takes up to 3 minutes when something is wrong, and a few
seconds without a network. Exits with 0 when all is well, otherwise with 1.`,
  run: (context, { words: [remote, target], flags }) => runDoctor(context, remote, target, flags),
});

/** Time limits in milliseconds. Our own node must join, and a peer is usually found in 1 to 10 s. */
const JOIN_MS = 30_000;
const PEER_MS = 90_000;
const DIAL_MS = 20_000;
const PING_MS = 5_000;
/** How long to wait until two nodes have reported the address they see, and how often to ask. */
const SEEN_MS = 6_000;
const SEEN_AGAIN_MS = 500;

/**
 * Checks each step of a tunnel. The listener sees the identity of this machine's connectors, if there is one and no
 * process uses it; everything else gets temporary ones. Saves nothing.
 */
async function runDoctor(
  context: Context,
  first: string | undefined,
  second: string | undefined,
  flags: DoctorFlags,
): Promise<ExitCode> {
  const asked = first !== undefined || flags.ticketFile !== undefined;
  const named = asked ? await remoteOf(context.io, first, second, flags) : undefined;
  const target = named?.target === undefined ? undefined : readValue('PORT', named.target, parseTarget);
  const lifetime = new Lifetime(context.io, 'end');
  context.onOutputLost(() => lifetime.stop());
  try {
    const options = {
      ...networkOf(flags),
      ...(await networkProxyOf(flags, context.io)),
      bootstrap: await namedOrPublicNodes(context, flags),
    };
    const checks = new Checks(context, lifetime.signal, options);
    const isReachable = await checks.network();
    if (named === undefined || !isReachable) return checks.isWell ? EXIT.ok : EXIT.failure;
    const folder = flags.state ?? (await context.io.stateFolder());
    const lender = await Lender.find(folder, named.remote, context.io.timers);
    if (lender !== undefined) {
      await checks.runningPeer(lender, target);
    } else {
      const opened = await savedIdentity(folder, await passphraseOf(flags, context.io), context.io);
      try {
        await checks.peer(named, target, opened);
      } finally {
        await opened?.release();
      }
    }
    return checks.isWell ? EXIT.ok : EXIT.failure;
  } finally {
    lifetime.dispose();
  }
}

/**
 * Opens the identity of this machine's connectors. Undefined when there is none, `ephemeral` when another process uses
 * it.
 */
async function savedIdentity(
  folder: string,
  passphrase: Uint8Array | undefined,
  { timers }: Pick<CliIo, 'timers'>,
): Promise<OpenedIdentity | undefined> {
  const place = { folder, role: 'connector', passphrase } as const;
  if ((await readIdentity(place)) === undefined) return undefined;
  return openIdentity({ ...place, onBusy: 'ephemeral', timers });
}

type CheckOptions = ReturnType<typeof networkOf> &
  Awaited<ReturnType<typeof networkProxyOf>> & {
    readonly bootstrap: Awaited<ReturnType<typeof namedOrPublicNodes>>;
  };

class Checks {
  isWell = true;
  readonly #context: Context;
  readonly #signal: AbortSignal;
  readonly #waiter: Waiter;
  readonly #options: CheckOptions & { readonly logger: Logger; readonly signal: AbortSignal };
  #nat: Finding | undefined;

  constructor(context: Context, signal: AbortSignal, options: CheckOptions) {
    this.#context = context;
    this.#signal = signal;
    this.#waiter = new Waiter(context.io.timers, signal);
    this.#options = { ...options, logger: context.reporter.logger, signal };
  }

  /**
   * Checks how this machine joins the network.
   *
   * @returns false when it cannot, because it has no connection to the internet
   */
  async network(): Promise<boolean> {
    const { bootstrap } = this.#options;
    const nodes = `${bootstrap.length} bootstrap ${bootstrap.length === 1 ? 'node' : 'nodes'}`;
    const limit = `for up to ${JOIN_MS / 1000} s`;
    // Proxies carry no UDP, and resolve the names themselves.
    if (this.#options.proxy === undefined) {
      const internet = new Internet(this.#context.io, bootstrap, this.#signal);
      await this.#check('network', 'Looking for a network connection', () => internet.route());
      if (internet.isReachable && internet.hasNames)
        await this.#check('dns', 'Resolving the names of bootstrap nodes', () => internet.names());
      if (!internet.isReachable) return false;
      await this.#check('udp', `Joining the Tox network over UDP, ${limit}`, () => this.#join(true, nodes));
      const nat = this.#nat;
      if (nat !== undefined) this.#report('nat', nat);
    }
    await this.#check('relay', `Joining the Tox network through a TCP relay, ${limit}`, () =>
      this.#join(false, nodes),
    );
    return true;
  }

  /** Asks a running connector about its listener: a second peer with its identity would disturb it. */
  async runningPeer(lender: Lender, target: HostPort | undefined): Promise<void> {
    const who = `connector ${lender.pid} of this machine`;
    await this.#check('peer', `Asking ${who}`, async () => {
      const { peers } = v.parse(StatusSchema, await lender.ask('status', {}));
      const peer = peers.find(({ status }) => status === 'online');
      if (peer === undefined)
        return bad(
          `${who} has this ticket, and waits for the listener`,
          'the listener is offline, or rejects the ticket. Check that it runs and prints "Joined the Tox network"',
        );
      const roundTrip = peer.roundTripMs === undefined ? '' : `, round trip ${peer.roundTripMs} ms`;
      const path = peer.path === 'udp' ? 'directly over UDP' : 'through a TCP relay';
      return good(`${who} is connected to the listener, ${path}${roundTrip}`);
    });
    if (target !== undefined)
      this.#context.reporter.people(
        `${printHostPort(target)} is not checked, because ${who} has the connection: use its forward, or stop it and run doctor again`,
      );
  }

  /**
   * Checks the path to a listener, and the target.
   *
   * @param opened the identity that the listener may know
   */
  async peer(
    { remote, name = 'the listener' }: Remote,
    target: HostPort | undefined,
    opened: OpenedIdentity | undefined,
  ): Promise<void> {
    const { connect } = await this.#context.io.loadLibrary();
    if (this.#signal.aborted) return;
    const identity = opened?.identity;
    if (identity === undefined && !isTicket(remote)) {
      this.#report('peer', unknownHere(opened?.ephemeral === true));
      return;
    }
    const started = this.#now();
    const connector = await connect({
      ...this.#options,
      remote,
      ...(identity === undefined ? {} : { identity }),
    });
    try {
      let online: true | undefined;
      await this.#check('peer', `Looking for ${name}, for up to ${PEER_MS / 1000} s`, async () => {
        online = await this.#waiter.within(PEER_MS, peerOnline(connector));
        if (online !== undefined) return good(`found the listener in ${this.#since(started)}`);
        const refusal = isTicket(remote)
          ? 'it rejects this ticket, which may have been revoked'
          : `it does not allow this machine's public key: run ${PROGRAM} listen there with --allow-peer ${connector.toxId.slice(0, 64)}`;
        return bad(
          `did not find the listener within ${PEER_MS / 1000} s`,
          `it is offline, or ${refusal}; from here both look the same. Check that it runs and prints "Joined the Tox network"`,
        );
      });
      if (online === undefined) return;
      await this.#check('path', 'Measuring the path', () => this.#path(connector));
      if (target !== undefined)
        await this.#check(
          'target',
          `Asking the listener to reach ${printHostPort(target)}, for up to ${DIAL_MS / 1000} s`,
          () => this.#dial(connector, target),
        );
    } finally {
      await connector.close();
    }
  }

  async #join(udp: boolean, nodes: string): Promise<Finding> {
    const { listen } = await this.#context.io.loadLibrary();
    const started = this.#now();
    const tunnel = await listen({ ...this.#options, udp });
    try {
      const how = udp ? 'over UDP' : 'through a TCP relay';
      const path = await this.#waiter.within(JOIN_MS, joined(tunnel, udp));
      // In a network of only private addresses, toxcore reports its relays as the path, but answers over UDP
      // arrive. Without any path, received datagrams are not answers: they may be meant for an earlier owner
      // of our port.
      const answered = udp && tunnel.node.path === 'relay' && (await tunnel.node.datagrams()).received > 0;
      const isGood = path === (udp ? 'udp' : 'relay') || answered;
      const since = this.#since(started);
      if (isGood && udp) this.#nat = await this.#lookForNat(tunnel);
      if (isGood) return good(`joined the network ${how} in ${since} (${nodes})`);
      return udp
        ? bad(
            `no answer over UDP within ${JOIN_MS / 1000} s (${nodes})`,
            'a firewall blocks UDP. If the relay check below is good, tunnels work through relays, but slower; otherwise ask the network administrator to allow outgoing UDP',
          )
        : bad(
            `no TCP relay answered within ${JOIN_MS / 1000} s (${nodes})`,
            this.#options.proxy !== undefined
              ? 'the proxy does not connect to them; it may be down, require a password, or allow only other ports'
              : 'peers behind strict NATs are unreachable without a relay. Run one of your own: tox-wasm-tunnel node --tcp-port 443 on a reachable machine, and --bootstrap with its line at both ends',
          );
    } finally {
      await tunnel.close();
    }
  }

  /** Returns undefined when the command ends first. */
  async #lookForNat(tunnel: TunnelHandle): Promise<Finding | undefined> {
    const local = this.#context.io.localAddresses().map(({ address }) => address);
    for (let waitedMs = 0; waitedMs < SEEN_MS && !isAborted(this.#signal); waitedMs += SEEN_AGAIN_MS) {
      const { udpPort, seen } = await tunnel.node.seenAddresses();
      const nat = natKindOf(seen, local, udpPort);
      if (nat !== undefined) return good(`${NATS[nat.kind]} (seen at ${nat.seenAs})`);
      await this.#waiter.pause(SEEN_AGAIN_MS);
    }
    if (isAborted(this.#signal)) return undefined;
    return good('the kind of NAT is unknown: that takes answers from two nodes on different machines');
  }

  async #path(connector: ConnectorHandle): Promise<Finding> {
    const answer = await this.#waiter.within(
      PING_MS,
      connector.ping().catch(() => undefined),
    );
    if (answer === undefined)
      return bad(`the listener did not answer within ${PING_MS / 1000} s`, 'try again');
    const roundTrip = `round trip ${answer.roundTripMs.toFixed(1)} ms`;
    if (answer.path === 'udp') return good(`directly over UDP, ${roundTrip}`);
    return good(`through a TCP relay, ${roundTrip}: slower than a direct path. ${this.#whyRelayed()}`);
  }

  #whyRelayed(): string {
    if (this.#options.proxy !== undefined) return 'A proxy allows no direct path';
    return 'UDP is blocked at one end, or both ends are behind symmetric NATs (see nat above, and run doctor at the other end); forwarding a UDP port at one end (--udp-port) makes the path direct';
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
      if (outcome === undefined)
        return bad(`no answer about ${name} within ${DIAL_MS / 1000} s`, 'try again');
      return bad(refusalText(outcome), 'check at the listener that the target runs and is exposed');
    } finally {
      stream.destroy();
    }
  }

  /** Runs a check, and shows that it is running. @param doing what the check does, for people */
  async #check(check: string, doing: string, look: () => Promise<Finding>): Promise<void> {
    if (this.#signal.aborted) return;
    const shown = this.#show(doing);
    let finding: Finding;
    try {
      finding = await look();
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      finding = { ok: false, message: error.message };
    } finally {
      shown.end();
    }
    this.#report(check, finding);
  }

  /** Shows what is running: in the live line of a terminal, with the seconds; elsewhere as a plain line. */
  #show(doing: string): { end(): void } {
    const { io, reporter } = this.#context;
    if (!reporter.isLive) {
      reporter.people(`${doing}...`);
      return { end: () => {} };
    }
    const timer = new Timer(io.timers);
    const started = this.#now();
    const draw = (): void => {
      const seconds = Math.floor((this.#now() - started) / 1000);
      reporter.status(`${doing}... ${seconds} s`);
    };
    draw();
    timer.every(1000, draw);
    return {
      end: () => {
        timer.clear();
        reporter.status('');
      },
    };
  }

  #report(check: string, finding: Finding): void {
    // An interrupted check found nothing.
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

/** Why a listener that is named by its Tox ID cannot know us. */
function unknownHere(isBusy: boolean): Finding {
  return isBusy
    ? bad(
        'another connector uses the identity of this machine, and a listener lets in only identities that it knows',
        `stop that connector and run this again, or use a ticket; ${PROGRAM} status shows what is running`,
      )
    : bad(
        'this machine has no identity that the listener can know',
        `connect once with -v, which prints the Tox ID of this machine, and give that to --allow-peer at the listener; or use a ticket`,
      );
}

/** The consequences of each kind of NAT. */
const NATS: Readonly<Record<NatKind, string>> = {
  none: 'no NAT: the nodes see an address of this machine. Peers reach it directly, unless a firewall blocks incoming UDP',
  'keeps-port': 'a NAT that maps our port to the same port for all peers: direct paths work',
  'moves-port': 'a NAT that maps our port to one other port for all peers: direct paths work',
  symmetric:
    'a symmetric NAT, which uses a different port for each peer: peers behind such a NAT are reached only through relays; forwarding a UDP port to this machine (--udp-port) makes the path direct',
};

/**
 * Resolves with the path by which the node joins the network. With `udp`, a relay counts only when datagrams
 * arrive too. Resolves with undefined when the node fails.
 */
function joined(tunnel: TunnelHandle, udp: boolean): Promise<'udp' | 'relay' | undefined> {
  return new Promise((resolve) => {
    const { node } = tunnel;
    const onPath = ({ path }: { readonly path: Path }): void => {
      if (path === 'udp' || (path === 'relay' && !udp)) resolve(path);
      else if (path === 'relay') void node.datagrams().then(({ received }) => received > 0 && resolve(path));
    };
    node.on('online', onPath).on('path', onPath);
    tunnel.on('error', () => resolve(undefined));
  });
}

/** A node, and the address and port at which it sees our UDP socket. */
export interface Sighting {
  readonly by: { readonly ip: string; readonly port: number };
  readonly as: { readonly ip: string; readonly port: number };
}

export type NatKind =
  /** The network sees an address of this machine. */
  | 'none'
  /** Another address, but our port. */
  | 'keeps-port'
  /** A different address and a different port, the same for all nodes. */
  | 'moves-port'
  /** A different port for each node. */
  | 'symmetric';

/**
 * Determines the kind of NAT from sightings of two or more machines. Returns undefined when there are too
 * few. With both IPv4 and IPv6 sightings only IPv4 counts, because NATs translate IPv4.
 */
export function natKindOf(
  sightings: readonly Sighting[],
  localAddresses: readonly string[],
  localPort: number,
): { readonly kind: NatKind; readonly seenAs: string } | undefined {
  const ipv4 = sightings.filter(({ as }) => isIP(as.ip) === 4);
  const counted = ipv4.length > 0 ? ipv4 : sightings;
  const [first] = counted;
  if (first === undefined) return undefined;
  const { ip, port } = first.as;
  const seenAs = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port}`;
  if (
    counted.every(({ as }) => localAddresses.some((local) => sameIp(local, as.ip)) && as.port === localPort)
  )
    return { kind: 'none', seenAs };
  if (new Set(counted.map(({ by }) => by.ip)).size < 2) return undefined;
  if (counted.some(({ as }) => as.ip !== ip || as.port !== port)) return { kind: 'symmetric', seenAs };
  return { kind: port === localPort ? 'keeps-port' : 'moves-port', seenAs };
}

/** Compares addresses. An IPv6 address has several spellings. */
function sameIp(a: string, b: string): boolean {
  return a === b || (isIP(a) === 6 && isIP(b) === 6 && canonical(a) === canonical(b));
}

const canonical = (ip: string): string => new URL(`http://[${ip.split('%', 1)[0]}]/`).hostname;
