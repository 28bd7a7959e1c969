import { RuleBook } from '../access/rule_book.js';
import { TunnelError } from '../core/errors.js';
import { TargetServer } from '../forward/serve.js';
import { upperHex } from '../node/tox_id.js';
import type { ToxNode } from '../node/tox_node.js';
import { FriendPlaces, type Place } from './friend_places.js';
import { ListenerPeer } from './listener_peer.js';
import type { ListenOptions } from './options.js';
import { type PeerInfo, peerInfo } from './peer_info.js';
import { Tunnel, type TunnelStats } from './tunnel.js';

/** Public keys that may be denied in one run. */
const MAX_SHUT_OUT = 1024;

/** The end that is dialled: any number of peers, each with a server of targets of its own. */
export class Listener extends Tunnel {
  /** What peers may reach; changes count at once, for open connections too. */
  readonly rules: RuleBook;
  readonly #places: FriendPlaces;
  /** Public keys that are denied for this run. */
  readonly #shutOut = new Set<string>();
  readonly #grantOf: NonNullable<ListenOptions['grantOf']>;

  private constructor(node: ToxNode, options: ListenOptions) {
    super(node, options);
    this.rules = new RuleBook(options.expose);
    this.#grantOf = options.grantOf ?? (() => undefined);
    this.#places = new FriendPlaces({
      node,
      logger: this.logger,
      maxPeers: this.limits.maxPeers,
      onAnswer: (publicKey, { code, reason }) => this.tellCode(publicKey, code, reason),
      newPlace: (friend, publicKey) => this.#newPlace(friend, publicKey),
    });
    node.on('friendRequest', (publicKey) => {
      if (!this.#shutOut.has(upperHex(publicKey))) void this.#places.request(publicKey);
    });
    node.on('friendPath', (friend, path) => this.#places.friendPath(friend, path));
    node.on('handshake', (friend, packet) => void this.#places.handshake(friend, packet));
  }

  /**
   * Starts a node that accepts connectors. Resolves when started: `ready` tells that it joined
   * the network.
   *
   * @throws {TunnelError} ERR_LISTEN for a UDP port that is taken, ERR_TOX_START, ERR_CLOSED
   */
  static async start(options: ListenOptions): Promise<Listener> {
    return new Listener(await Tunnel.startNode(options), options);
  }

  override stats(): TunnelStats {
    return this.#places.traffic;
  }

  /** The friends that there are, connected or not. */
  peers(): PeerInfo[] {
    return this.#places.infos();
  }

  /**
   * Cuts a peer off, at once. It may ask again, unless it is denied.
   *
   * @param publicKey 64 hexadecimal digits @returns false when it was not there
   */
  removePeer(publicKey: string): Promise<boolean> {
    return this.#places.cut(publicKey.toUpperCase());
  }

  /** Cuts a peer off and lets it in no more, for as long as this runs. @throws {TunnelError} ERR_LIMIT */
  denyPeer(publicKey: string): Promise<boolean> {
    const key = publicKey.toUpperCase();
    if (this.#shutOut.size >= MAX_SHUT_OUT && !this.#shutOut.has(key)) {
      throw new TunnelError('ERR_LIMIT', `${MAX_SHUT_OUT} peers are denied; use another Tox ID instead`);
    }
    this.#shutOut.add(key);
    return this.#places.cut(key);
  }

  /** Takes {@link denyPeer} back. @returns false when it was not denied */
  allowPeer(publicKey: string): boolean {
    return this.#shutOut.delete(publicKey.toUpperCase());
  }

  protected override closePeers(): Promise<void> {
    return this.#places.close();
  }

  #newPlace(friend: number, publicKey: string): Place {
    const server = new TargetServer({
      peer: publicKey,
      rules: this.rules.rulesFor(() => this.#grantOf(publicKey)),
      maxDials: this.limits.maxDials,
      logger: this.logger,
    });
    const forgetRules = this.rules.onChange(() => server.recheck());
    const peer = new ListenerPeer(
      {
        node: this.node,
        publicKey,
        timers: this.timers,
        logger: this.logger,
        patienceMs: this.patienceMs,
        limits: this.limits,
        onCode: (code, detail) => this.tellCode(publicKey, code, detail),
        onStatus: (status, path) => this.tellStatus(publicKey, status, path),
        onOpen: (request) => server.handle(request),
        onIdle: () => void this.#places.seat(),
        onLeft: () => void this.#places.free(friend),
      },
      friend,
    );
    return {
      peer,
      publicKey,
      info: () => peerInfo(publicKey, peer, server.counts, this.#grantOf(publicKey)),
      close: () => {
        forgetRules();
        server.close();
      },
    };
  }
}
