import { AllowRules } from '../forward/allow.js';
import { TargetServer } from '../forward/serve.js';
import type { ToxNode } from '../node/tox_node.js';
import { FriendPlaces, type Place } from './friend_places.js';
import { ListenerPeer } from './listener_peer.js';
import type { ListenOptions } from './options.js';
import { Tunnel, type TunnelStats } from './tunnel.js';

/** The end that is dialled: any number of peers, each with a server of targets of its own. */
export class Listener extends Tunnel {
  readonly #rules: AllowRules;
  readonly #places: FriendPlaces;

  private constructor(node: ToxNode, options: ListenOptions) {
    super(node, options);
    this.#rules = new AllowRules(options.expose);
    this.#places = new FriendPlaces({
      node,
      logger: this.logger,
      onAnswer: (publicKey, { code, reason }) => this.tellCode(publicKey, code, reason),
      newPlace: (friend, publicKey) => this.#newPlace(friend, publicKey),
    });
    node.on('friendRequest', (publicKey) => void this.#places.request(publicKey));
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

  protected override closePeers(): Promise<void> {
    return this.#places.close();
  }

  #newPlace(friend: number, publicKey: string): Place {
    const server = new TargetServer({ peer: publicKey, rules: this.#rules, logger: this.logger });
    const peer = new ListenerPeer(
      {
        node: this.node,
        publicKey,
        timers: this.timers,
        logger: this.logger,
        patienceMs: this.patienceMs,
        onCode: (code, detail) => this.tellCode(publicKey, code, detail),
        onStatus: (status, path) => this.tellStatus(publicKey, status, path),
        onRoundTrip: (path, roundTripMs) => this.tellRoundTrip(publicKey, path, roundTripMs),
        onOpen: (request) => server.handle(request),
        onIdle: () => void this.#places.seat(),
        onLeft: () => void this.#places.free(friend),
      },
      friend,
    );
    return { peer, close: () => server.close() };
  }
}
