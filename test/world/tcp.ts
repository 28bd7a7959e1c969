import type { SimClock } from '../support/sim_clock.js';

/** Bytes that one direction of a TCP connection holds before it refuses more. */
const MAX_STREAM_BYTES = 256 * 1024;
/** When TCP sends again what got lost. */
const RETRANSMIT_MS = 300;
/** What a connection needs from the sites of its ends, and from the machines there. */
interface TcpSite {
  readonly publicIp: string;
  readonly nat: unknown;
  readonly line: { readonly delayMs: number; readonly loss: number };
  readonly net: {
    readonly clock: SimClock;
    readonly random: () => number;
    connects(from: TcpSite, to: TcpSite): boolean;
  };
}

interface TcpHost {
  readonly site: TcpSite;
  has(ip: string): boolean;
  ipFor(ip: string): string | undefined;
}

/** Between two neighbours. */
export const LAN_DELAY_MS = 0.2;

/** One end of a simulated TCP connection: reliable and in order as long as packets pass now and then. */
export class TcpEnd {
  /** Called when there are bytes, room, an end, or when the connection is open. */
  onChange: (() => void) | undefined;
  readonly #host: TcpHost;
  readonly #farHost: TcpHost;
  /** Our address and the other's when the connection began: it dies silently with them. */
  readonly #ip: string | undefined;
  readonly #publicIp: string;
  #state: 'opening' | 'open' | 'refused' | 'closed' = 'opening';
  #other: TcpEnd | undefined;
  #chunks: Uint8Array[] = [];
  #unreadBytes = 0;
  /** Bytes that the other end has sent and that have not arrived. */
  #comingBytes = 0;
  #ended = false;
  /** What we have sent and the other end does not have yet, oldest first. */
  readonly #onWay: { readonly atMs: number; readonly deliver: () => void }[] = [];

  constructor(host: TcpHost, farHost: TcpHost, farIp: string) {
    this.#host = host;
    this.#farHost = farHost;
    this.#ip = farIp === '' ? undefined : host.ipFor(farIp);
    this.#publicIp = host.site.publicIp;
  }

  get isClosed(): boolean {
    return this.#state === 'closed' || this.#state === 'refused';
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** No more bytes will come. */
  get isEnded(): boolean {
    return (this.#ended && this.#chunks.length === 0) || this.#state === 'refused';
  }

  delayMs(): number {
    const [near, far] = [this.#host.site, this.#farHost.site];
    return near === far ? LAN_DELAY_MS : near.line.delayMs + far.line.delayMs;
  }

  passes(): boolean {
    const { net } = this.#host.site;
    const stays = this.#ip === undefined || this.#host.has(this.#ip);
    const sameNat = this.#host.site.nat === undefined || this.#host.site.publicIp === this.#publicIp;
    return stays && sameNat && net.connects(this.#host.site, this.#farHost.site);
  }

  join(other: TcpEnd): void {
    this.#other = other;
    other.#other = this;
    other.#state = 'open';
    this.#state = 'open';
    this.onChange?.();
  }

  refuse(): void {
    this.#state = 'refused';
    this.onChange?.();
  }

  /** Returns false when the connection is not open, or holds too much. */
  send(bytes: Uint8Array): boolean {
    const other = this.#other;
    if (this.#state !== 'open' || other === undefined) return false;
    if (other.#unreadBytes + other.#comingBytes + bytes.length > MAX_STREAM_BYTES) return false;
    const copy = bytes.slice();
    other.#comingBytes += copy.length;
    this.#carry(() => {
      other.#comingBytes -= copy.length;
      other.#unreadBytes += copy.length;
      other.#chunks.push(copy);
      other.onChange?.();
    });
    return true;
  }

  /** Returns how many bytes were read. */
  read(into: Uint8Array): number {
    let taken = 0;
    while (taken < into.length) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const part = chunk.subarray(0, into.length - taken);
      into.set(part, taken);
      taken += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    this.#unreadBytes -= taken;
    const other = this.#other;
    if (taken > 0 && other !== undefined)
      this.#host.site.net.clock.after(this.delayMs(), () => other.onChange?.());
    return taken;
  }

  close(): void {
    if (this.isClosed) return;
    const other = this.#other;
    this.#state = 'closed';
    if (other === undefined) return;
    this.#carry(() => {
      other.#ended = true;
      other.onChange?.();
    });
  }

  /** Delivers in order, each when packets pass. */
  #carry(deliver: () => void): void {
    const { net } = this.#host.site;
    const loss = this.#host.site.line.loss + this.#farHost.site.line.loss;
    const lateMs = net.random() < loss ? RETRANSMIT_MS : 0;
    this.#onWay.push({ atMs: net.clock.nowMs + this.delayMs() + lateMs, deliver });
    if (this.#onWay.length === 1) this.#deliverNext();
  }

  #deliverNext(): void {
    const { clock } = this.#host.site.net;
    const next = this.#onWay[0];
    if (next === undefined) return;
    clock.at(next.atMs, () => this.#tryNext());
  }

  #tryNext(): void {
    const other = this.#other!;
    if (other.#state === 'closed') {
      this.#onWay.length = 0;
    } else if (this.passes() && other.passes()) {
      this.#onWay.shift()?.deliver();
      this.#deliverNext();
    } else {
      this.#host.site.net.clock.after(RETRANSMIT_MS, () => this.#tryNext());
    }
  }
}
