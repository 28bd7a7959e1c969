/**
 * Two hosts behind a NAT each, and a bootstrap node outside. The outside addresses come from the blocks for
 * documentation (RFC 5737), so that toxcore does not consider them a local network.
 *
 *   a 192.168.1.2 ── nat-a 203.0.113.10 ──┐
 *                                         ├── outside 203.0.113.1 and 203.0.113.65, the bootstrap node
 *   b 192.168.2.2 ── nat-b 203.0.113.70 ──┘
 */
import { ToxHosts } from './tox_hosts.js';

export type Host = 'a' | 'b';

/**
 * How a NAT rewrites the source of an outgoing packet.
 * - `keeps-port`: the same port for every peer, if it is free; the NAT admits only packets from addresses
 * that were sent to.
 * - `symmetric`: a different port for each peer.
 */
export type NatKind = 'keeps-port' | 'symmetric';

const OUTSIDE = { a: '203.0.113.1', b: '203.0.113.65' } as const;
const PUBLIC = { a: '203.0.113.10', b: '203.0.113.70' } as const;
const INSIDE = { a: '192.168.1', b: '192.168.2' } as const;

export class NatWorld extends ToxHosts {
  readonly #kinds: Record<Host, NatKind> = { a: 'keeps-port', b: 'keeps-port' };
  readonly #udpIsDropped: Record<Host, boolean> = { a: false, b: false };
  readonly #last: Record<Host, number> = { a: 2, b: 2 };

  /** @throws when a step fails; what exists by then is removed when the process exits */
  constructor() {
    super();
    const { spaces } = this;
    spaces.add('outside');
    spaces.setting('outside', 'ipv4/ip_forward', '1');
    for (const host of ['a', 'b'] as const) {
      const nat = `nat-${host}`;
      spaces.add(host);
      spaces.add(nat);
      spaces.link(
        { space: 'outside', device: `to-${host}`, addresses: [`${OUTSIDE[host]}/26`] },
        { space: nat, device: 'wan', addresses: [`${PUBLIC[host]}/26`] },
      );
      spaces.link(
        { space: nat, device: 'lan', addresses: [`${INSIDE[host]}.1/24`] },
        { space: host, device: 'eth0', addresses: [this.#address(host)] },
      );
      spaces.setting(nat, 'ipv4/ip_forward', '1');
      spaces.ip(nat, 'route', 'add', 'default', 'via', OUTSIDE[host]);
      this.#setRoute(host);
      this.#setRules(host);
    }
  }

  /** Starts a bootstrap node at one of the two outside addresses; returns its line. */
  startNode(at: Host): Promise<string> {
    return this.node('outside', OUTSIDE[at]);
  }

  /** Sets the kinds of the NATs, which then forget their mappings. */
  setNats(a: NatKind, b = a): void {
    this.#kinds.a = a;
    this.#kinds.b = b;
    for (const host of ['a', 'b'] as const) this.#setRules(host);
  }

  /** Turns a firewall in a host's NAT on or off; it drops UDP in both directions. */
  dropUdp(host: Host, drops = true): void {
    this.#udpIsDropped[host] = drops;
    this.#setRules(host);
  }

  /**
   * Moves the host to another network: the host and its NAT get new addresses, and the NAT forgets its
   * mappings.
   */
  moveOn(host: Host): void {
    const { spaces } = this;
    const nat = `nat-${host}`;
    spaces.ip(nat, 'addr', 'flush', 'dev', 'wan', 'scope', 'global');
    spaces.addAddress(nat, 'wan', `${PUBLIC[host].replace(/\d+$/, (last) => String(Number(last) + 1))}/26`);
    spaces.ip(nat, 'route', 'add', 'default', 'via', OUTSIDE[host]);
    spaces.ip(host, 'addr', 'flush', 'dev', 'eth0', 'scope', 'global');
    this.#last[host] += 10;
    spaces.addAddress(host, 'eth0', this.#address(host));
    this.#setRoute(host);
  }

  #address(host: Host): string {
    return `${INSIDE[host]}.${this.#last[host]}/24`;
  }

  #setRoute(host: Host): void {
    this.spaces.ip(host, 'route', 'add', 'default', 'via', `${INSIDE[host]}.1`);
  }

  #setRules(host: Host): void {
    const how = this.#kinds[host] === 'symmetric' ? 'masquerade fully-random' : 'masquerade';
    const udp = this.#udpIsDropped[host] ? 'meta l4proto udp drop' : '';
    // Unsolicited packets are dropped before the NAT remembers them. Otherwise the host's own packets to that
    // address would conflict with the mapping and get another port.
    this.spaces.rules(
      `nat-${host}`,
      `table inet nat {
        chain post { type nat hook postrouting priority 100
          oifname "wan" ${how}
        }
      }
      table inet filter {
        chain in { type filter hook input priority 0
          iifname "wan" ct state new drop
        }
        chain forward { type filter hook forward priority 0
          ${udp}
          iifname "wan" ct state new drop
        }
      }`,
    );
  }
}
