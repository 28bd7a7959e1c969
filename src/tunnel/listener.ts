import { DEFAULT_TICKET } from '../access/access_state.js';
import { parsePeerKey } from '../access/peer_key.js';
import { AccessPolicy, type Admission } from '../access/policy.js';
import { formatTicket, SECRET_BYTES } from '../access/ticket.js';
import type { NewTicket } from '../access/ticket_book.js';
import { type ByteRates, byteRates } from '../core/allowance.js';
import { text } from '../core/arguments.js';
import type { Path } from '../core/tox_network.js';
import { TargetServer } from '../forward/exit/target_server.js';
import { PortHolders, type PortOwner } from '../forward/reverse/port_holders.js';
import { ReverseServer } from '../forward/reverse/reverse_server.js';
import { addCounts } from '../forward/serve_log.js';
import { Offers } from '../forward/stream/offers.js';
import { StreamServer } from '../forward/stream/stream_server.js';
import { hexBytes, keyAddress, parseToxId, upperHex } from '../network/tox_id.js';
import { FriendPlaces, type Place } from '../peer/friend_places.js';
import { ListenerPeer } from '../peer/listener_peer.js';
import { type PeerInfo, peerInfo } from '../peer/peer_info.js';
import type { CloseDeadline } from '../peer/peer_session.js';
import { printHostPort } from '../rules/endpoint.js';
import { type Grant, ReverseBook, RuleBook } from '../rules/rule_book.js';
import { type AuditPeer, type AuditRecord, audited, ENTRY_PACE, PacedAudit, REFUSALS_PACE } from './audit.js';
import type { PeerChange } from './events.js';
import type { Machine } from './machine.js';
import type { CheckedServiceOptions } from './read_options.js';
import { PEER_RATIO_TO_FREE, Tunnel, type TunnelHost, type TunnelStats, VISITORS } from './tunnel.js';

/** What a listener offers, and to whom. */
export interface ListenerService {
  readonly offers: Offers;
  readonly rules: RuleBook;
  readonly reverseRules: ReverseBook;
  readonly access: AccessPolicy;
}

/** The end that is dialled: any number of peers, each with its own target server. */
export class Listener extends Tunnel {
  /** Who may come in: tickets, allowed peers and denied peers. It may change while the listener runs. */
  readonly access: AccessPolicy;
  /** What peers may reach. Changes apply at once, also to open connections. */
  readonly rules: RuleBook;
  /** Which ports peers may open on this machine (`-R`). Changes apply at once, also to open ports. */
  readonly reverseRules: ReverseBook;
  readonly #offers: Offers;
  readonly #places: FriendPlaces;
  /** The ports that are open for peers. */
  readonly #portHolders: PortHolders;
  /** The rate of each ticket that has one. */
  readonly #rates = new WeakMap<Grant, ByteRates>();
  #strangers = 0;
  readonly #entries: PacedAudit;

  readonly #isRemote: (publicKey: string) => boolean;

  /** @param isRemote whether a connector of the same node connects to this peer */
  constructor(
    host: TunnelHost,
    options: CheckedServiceOptions,
    service: ListenerService,
    isRemote: (publicKey: string) => boolean,
  ) {
    super(host, options, 'listener');
    const { tox: node } = this;
    this.#isRemote = isRemote;
    this.#offers = service.offers;
    this.rules = service.rules;
    this.reverseRules = service.reverseRules;
    this.access = service.access;
    this.#entries = new PacedAudit(this.timers, (record) => this.#audit(record), ENTRY_PACE);
    this.reverseRules.onChange(() => this.rules.closeDefault());
    this.#portHolders = new PortHolders(this.timers);
    this.#places = new FriendPlaces({
      node,
      nowMs: () => this.timers.nowMs(),
      onFull: (message) => this.tellWaiting(message),
      mayStay: (grant, publicKey) => this.access.holds(grant, publicKey),
      maxPeers: this.limits.maxPeers,
      onAnswer: (publicKey, { code, reason }) => this.tellCode(publicKey, code, reason),
      newPlace: (friend, publicKey, grant) => this.#newPlace(friend, publicKey, grant),
    });
    this.onTox('path', (path) => this.presence.moved(path));
    this.onTox('friendRequest', (publicKey, message) => this.#onRequest(publicKey, message));
    this.onTox('requestsDropped', (count) => this.#onStrangers(count));
    this.onTox('friendPath', (friend, path) => this.#places.friendPath(friend, path));
    this.onTox('handshake', (friend, packet) => void this.#places.handshake(friend, packet));
    // Later, so that the caller can listen to the events first.
    if (node.path !== 'none') setImmediate(() => this.presence.moved(node.path));
    this.#admitRequests();
    this.access.on('admission', () => this.#admitRequests());
    this.access.on('revoked', () => this.#onRevoked());
    this.access.on('changed', () => this.emit('access'));
    this.access.on('turnedAway', ({ publicKey, why, ticket }) =>
      this.#entries.add({
        audit: 'refused',
        peer: publicKey,
        ...(ticket === undefined ? {} : { name: ticket }),
        why,
      }),
    );
    // A peer that was denied while no listener ran is not told where we are.
    for (const { publicKey } of this.knownPlaces.list)
      if (this.access.isDenied(publicKey)) this.knownPlaces.forget(publicKey);
    this.knock();
  }

  /** The ticket that lets connectors in. It is a secret: give it only to people you invite. */
  get ticket(): string {
    // The policy always has the default ticket.
    return this.ticketOf(DEFAULT_TICKET) ?? '';
  }

  /** Returns the ticket of that name as text; undefined when there is none. */
  ticketOf(name: string): string | undefined {
    const secret = this.access.secretOf(name);
    return secret && formatTicket({ toxId: parseToxId(this.toxId), secret });
  }

  /**
   * Makes a ticket and returns it as text. The peer that comes in with it has only the rules that name it.
   *
   * @throws {TunnelError} ERR_USAGE for an invalid or taken name, ERR_SPEC_INVALID for a wrong rule,
   *   ERR_ARGUMENT_INVALID for another wrong option, ERR_LIMIT when there are too many tickets
   *
   * @example
   * ```ts
   * const ticket = listener.newTicket({ name: 'ann', rules: ['22'], uses: 1 });
   * ```
   */
  newTicket(options: NewTicket): string {
    return formatTicket({ toxId: parseToxId(this.toxId), secret: this.access.newTicket(options) });
  }

  /** Friend requests without a valid ticket or an allowed key, so far. They got no answer. */
  get strangers(): number {
    return this.#strangers + this.access.turnedAway;
  }

  override stats(): TunnelStats {
    return this.#places.traffic;
  }

  /** Returns all friends, connected or not. */
  override peers(): PeerInfo[] {
    return this.#places.infos();
  }

  /**
   * Cuts off a peer at once. It may come back unless it is denied.
   *
   * @param publicKey 64 hexadecimal digits @returns false when there was no such peer
   * @throws {TunnelError} ERR_ADDRESS_INVALID, ERR_ARGUMENT_INVALID
   */
  async removePeer(publicKey: string): Promise<boolean> {
    const key = upperHex(peerKey(publicKey, 'removePeer()'));
    this.knownPlaces.forget(key);
    return await this.#places.cut(key);
  }

  /** Denies a peer, present or not, and cuts it off. @throws {TunnelError} ERR_ADDRESS_INVALID, ERR_ARGUMENT_INVALID, ERR_LIMIT */
  denyPeer(publicKey: string): void {
    const key = peerKey(publicKey, 'denyPeer()');
    this.knownPlaces.forget(upperHex(key));
    this.access.deny(key);
  }

  /**
   * Reverses {@link denyPeer}.
   * @returns false when it was not denied
   * @throws {TunnelError} ERR_ADDRESS_INVALID, ERR_ARGUMENT_INVALID
   */
  allowPeer(publicKey: string): boolean {
    return this.access.undeny(peerKey(publicKey, 'allowPeer()'));
  }

  protected override sendMark(): () => boolean {
    return this.#places.sendMark();
  }

  protected override closePeers(deadline: CloseDeadline | undefined): Promise<void> {
    this.access.close();
    return this.#places.close(deadline);
  }

  protected override async removeFriends(): Promise<void> {
    this.#admit({ prefixes: [], keys: [], deniedKeys: [] });
    await this.#places.removeAll();
  }

  #admitRequests(): void {
    if (!this.isClosing()) this.#admit(this.access.admission);
  }

  #admit(admission: Admission): void {
    // Only a node that is gone rejects, and the node reports that itself.
    this.tox.worker.admitRequests(admission).catch(() => {});
  }

  #onRequest(publicKey: Uint8Array, message: Uint8Array): void {
    const keys = { connector: publicKey, listener: this.tox.started.publicKey };
    const grant = this.access.request(message, keys);
    if (grant === undefined) this.logger.log('info', 'dropped a friend request with an invalid ticket');
    else void this.#places.request(publicKey, grant);
  }

  #onRevoked(): void {
    // Another ticket or peer may get the name.
    for (const book of [this.rules, this.reverseRules]) book.keep((name) => this.access.isName(name));
    void this.#places.dismiss().then(() => {
      // A peer that was shut out is not told where we are after a restart.
      const present = new Set(this.peers().map(({ publicKey }) => publicKey));
      for (const { publicKey } of this.knownPlaces.list)
        if (!present.has(publicKey) && !this.#isRemote(publicKey)) this.knownPlaces.forget(publicKey);
    });
  }

  #audit(record: AuditRecord): void {
    this.emit('audit', record);
  }

  #onStrangers(count: number): void {
    this.#strangers += count;
    this.#audit({ audit: 'strangers', count });
    this.logger.log('info', `dropped ${count} friend requests from strangers`, { soFar: this.#strangers });
  }

  /** Returns a function that records when a peer comes online and goes offline, but no change of its path. */
  #presence(named: () => AuditPeer): (status: PeerChange['status'], path: Path) => void {
    let sinceMs: number | undefined;
    return (status, path) => {
      const nowMs = this.timers.nowMs();
      if (status === 'offline' && sinceMs !== undefined) {
        this.#audit({ audit: 'offline', ...named(), durationMs: Math.round(nowMs - sinceMs) });
        sinceMs = undefined;
      } else if (status === 'online' && sinceMs === undefined) {
        sinceMs = nowMs;
        this.#audit({ audit: 'online', ...named(), path });
      }
    };
  }

  /** All holders of a ticket share its rate: the holder of one could come as many peers. */
  #ratesOf(grant: Grant): ByteRates | undefined {
    if (grant.bytesPerSecond === undefined) return undefined;
    const rates = this.#rates.get(grant) ?? byteRates(grant.bytesPerSecond, this.timers.nowMs());
    this.#rates.set(grant, rates);
    return rates;
  }

  #newPlace(friend: number, publicKey: string, firstGrant: Grant): Place {
    let grant = firstGrant;
    const rules = this.rules.rulesFor(
      () => grant,
      (now) => this.reverseRules.hasOwnRules(now),
    );
    const descriptors = this.descriptors.share({ ratioToFree: PEER_RATIO_TO_FREE, perAddress: VISITORS });
    const server = new TargetServer({
      peer: publicKey,
      rules,
      descriptors,
      maxDials: this.limits.maxDials,
      udpIdleMs: this.limits.udpIdleMs,
      timers: this.timers,
      connect: this.machine.connect,
      logger: this.logger,
    });
    const streams = new StreamServer({
      peer: publicKey,
      nameOf: () => grant.name,
      peerAddress: keyAddress(hexBytes(publicKey)),
      rules,
      timers: this.timers,
      logger: this.logger,
      hasHandler: () => this.listenerCount('stream') > 0,
      onStream: (stream, { host, port }) => {
        this.follow(stream, () => peer.isOnline);
        this.emit('stream', stream, { host, port, peer: publicKey, name: grant.name });
      },
    });
    const owner: PortOwner = {
      publicKey,
      get grant() {
        return grant;
      },
      get isOnline() {
        return peer.isOnline;
      },
      ping: (callback) => peer.ping(callback),
    };
    const ports = new ReverseServer({
      owner,
      holders: this.#portHolders,
      rules: this.reverseRules.rulesFor(
        () => grant,
        (now) => this.rules.hasOwnRules(now),
      ),
      maxPorts: this.limits.maxReversePorts,
      descriptors,
      timers: this.timers,
      createServer: this.machine.createServer,
      logger: this.logger,
      mayOpen: () => this.access.whyNoStreams(grant) === undefined,
      onChange: (status, local) =>
        this.emit('reverse', { status, listen: printHostPort(local), peer: publicKey }),
    });
    const recheck = (): void => {
      server.recheck();
      streams.recheck();
      ports.recheck();
    };
    const forgetRules = this.rules.onChange(recheck);
    const forgetReverse = this.reverseRules.onChange(recheck);
    const keys = {
      connector: hexBytes(publicKey),
      listener: this.tox.started.publicKey,
    };
    const named = (): AuditPeer => ({ peer: publicKey, name: grant.name });
    const record = (what: AuditRecord): void => this.#audit(what);
    const refusals = new PacedAudit(this.timers, record, REFUSALS_PACE, named);
    const audit = { clock: this.timers, peer: named, record, refusals };
    const presence = this.#presence(named);
    const peer: ListenerPeer = new ListenerPeer(
      this.peerContext(),
      { friend, publicKey },
      {
        onCode: (code, detail) => this.tellCode(publicKey, code, detail),
        onStatus: (status, path) => {
          presence(status, path);
          this.tellStatus(publicKey, status, path);
        },
        onHello: (proof, sessions, resumes) => {
          const verdict = this.access.hello(proof, keys, sessions, resumes);
          if (verdict.kind === 'welcome') {
            const { name, kind } = verdict.grant;
            this.#entries.add({ audit: 'admitted', peer: publicKey, name, kind, resumes });
          }
          return verdict;
        },
        onGrant: (now) => {
          grant = now;
          // An earlier ticket of the peer may have allowed more.
          recheck();
        },
        onRates: (now) => this.#ratesOf(now),
        onRoundTrip: (path, roundTripMs) => this.tellRoundTrip(publicKey, path, roundTripMs),
        onOpen: (asked) => {
          // Following a stream costs a little for each of its chunks.
          const request = this.listenerCount('audit') > 0 ? audited(asked, audit) : asked;
          const { target } = request;
          const whyNot = this.access.whyNoStreams(grant);
          if (whyNot !== undefined) {
            request.refuse('not-allowed', whyNot);
            return;
          }
          // Datagrams too, which the stream server refuses: an offered name is never dialled.
          const isAddress = target.kind === 'tcp' || target.kind === 'udp';
          const offer = isAddress ? this.#offers.find(target) : undefined;
          if (target.kind === 'listen') ports.handle(request, target);
          else if (offer !== undefined) streams.handle(request, offer);
          else server.handle(request);
        },
        onIdle: () => void this.#places.seat(),
        onLeft: () => {
          if (!this.#isRemote(publicKey)) this.knownPlaces.forget(publicKey);
          void this.#places.free(friend);
        },
      },
    );
    return {
      peer,
      publicKey,
      get grant() {
        return grant;
      },
      info: () => ({
        ...peerInfo(publicKey, peer, addCounts(server.counts, streams.counts), grant),
        reversePorts: ports.open,
      }),
      close: () => {
        forgetRules();
        forgetReverse();
        ports.close();
        streams.close();
        server.close();
      },
    };
  }
}

const peerKey = (given: unknown, call: string): Uint8Array => parsePeerKey(text(given, `${call}: publicKey`));

/**
 * @throws {TunnelError} ERR_USAGE for an unknown or taken name, ERR_LIMIT, ERR_ADDRESS_INVALID for an offer
 */
export function listenerService(options: CheckedServiceOptions, machine: Machine): ListenerService {
  const { access: state, allowPeers = [], denyPeers = [], expose = [], allowReverse = [] } = options;
  const access = new AccessPolicy({
    ...(state === undefined ? {} : { state }),
    allowPeers,
    denyPeers,
    wallMs: () => machine.wallMs(),
    timers: machine.timers,
    newSecret: () => machine.randomBytes(SECRET_BYTES),
  });
  const isName = (name: string): boolean => access.isName(name);
  const offers = new Offers(options.offer);
  return {
    offers,
    access,
    rules:
      expose === 'loopback'
        ? new RuleBook(offers.rules, true)
        : new RuleBook([...offers.rules, ...expose.map((rule) => rule(isName))]),
    reverseRules: new ReverseBook(allowReverse.map((rule) => rule(isName))),
  };
}
