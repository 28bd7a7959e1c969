import type { TurnedAway } from '../access/policy.js';
import { Allowance } from '../core/allowance.js';
import type { Clock } from '../core/clock.js';
import type { Path } from '../core/tox_network.js';
import type { MuxStream, OpenRequest, StreamHandlers, StreamOpener } from '../mux/stream/stream_api.js';
import type { Reason } from '../mux/wire/reasons.js';
import { idText } from '../mux/wire/stream_id.js';
import type { Target } from '../mux/wire/target.js';
import { printHostPort } from '../rules/endpoint.js';
import type { Grant } from '../rules/rule_book.js';

/** The peer of a record. */
export interface AuditPeer {
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
  /** Name of the ticket or allowed peer that let it in. */
  readonly name: string;
}

/** A connection of a peer, or the datagrams of one of its clients. */
export interface AuditFlow extends AuditPeer {
  /** The UUID of the stream. All records about one flow have the same. */
  readonly flow: string;
  /** `reverse`: a client connected to a port that is open for the peer (`-R`). */
  readonly kind: 'tcp' | 'udp' | 'path' | 'reverse';
  /** The requested `host:port` or path; for `reverse`, the port here. */
  readonly target: string;
}

/** Where a flow leads, beyond its target. */
export interface AuditEnds {
  /** The address that was dialled for a name. */
  readonly address?: string;
  /** `reverse`: the address of the client. */
  readonly client?: string;
}

/** Why a flow was not opened. */
export interface AuditRefusal extends AuditFlow {
  readonly reason: Reason;
  /** For people. */
  readonly message: string;
}

/**
 * What a listener did for whom: one record for each decision and each flow. It holds no secret: no ticket, no
 * passphrase, no content. More kinds and fields may be added.
 */
export type AuditRecord =
  /** A peer was let in. `resumes`: it was connected before, and its streams continue. */
  | ({ readonly audit: 'admitted'; readonly kind: Grant['kind']; readonly resumes: boolean } & AuditPeer)
  /** A peer was not let in. `name` is the ticket that it showed. */
  | {
      readonly audit: 'refused';
      readonly peer: string;
      readonly name?: string;
      readonly why: TurnedAway['why'];
    }
  /** Requests without any valid ticket, counted since the last such record. */
  | { readonly audit: 'strangers'; readonly count: number }
  /**
   * Records that were left out, because they came too fast: `admitted` and `refused`, or `denied` and `failed` of one
   * peer.
   */
  | ({ readonly audit: 'omitted'; readonly count: number } & Partial<AuditPeer>)
  | ({ readonly audit: 'online'; readonly path: Path } & AuditPeer)
  | ({ readonly audit: 'offline'; readonly durationMs: number } & AuditPeer)
  | ({ readonly audit: 'opened' } & AuditFlow & AuditEnds)
  /**
   * `denied`: the rules forbid the flow, or the ticket has expired. `failed`: it failed for any other reason, such as a
   * target that does not answer.
   */
  | ({ readonly audit: 'denied' | 'failed' } & AuditRefusal)
  /** `In` is from the peer, `Out` to the peer. */
  | ({
      readonly audit: 'ended';
      /** `ended`: both ends were done. `reset`: it was cut short, for `reason`. */
      readonly how: 'ended' | 'reset';
      readonly reason?: Reason;
      readonly durationMs: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
      readonly datagramsIn?: number;
      readonly datagramsOut?: number;
    } & AuditFlow &
      AuditEnds)
  /** A port of this machine was opened for the peer (`-R`). */
  | ({ readonly audit: 'bound'; readonly flow: string; readonly listen: string } & AuditPeer)
  | ({
      readonly audit: 'unbound';
      readonly flow: string;
      readonly listen: string;
      readonly durationMs: number;
    } & AuditPeer);

/** How many records there may be at once, and per second. */
export interface RecordPace {
  readonly burst: number;
  readonly perSecond: number;
}

/** Of records about entry: a restart with all peers, and then 13 MB a day at most. */
export const ENTRY_PACE: RecordPace = { burst: 1024, perSecond: 1 };
/** Of one peer's refused connections: a scan of some ports, and then 50 MB a day at most. */
export const REFUSALS_PACE: RecordPace = { burst: 256, perSecond: 1 };

/**
 * Records of what a peer can cause as often as it likes: being let in or not, and refused connections. They keep to a
 * rate, and those beyond it are counted.
 */
export class PacedAudit {
  readonly #clock: Clock;
  readonly #record: (record: AuditRecord) => void;
  readonly #allowance: Allowance;
  readonly #about: (() => AuditPeer) | undefined;

  /** @param about the peer that all the records are about; undefined for several */
  constructor(
    clock: Clock,
    record: (record: AuditRecord) => void,
    { burst, perSecond }: RecordPace,
    about?: () => AuditPeer,
  ) {
    this.#clock = clock;
    this.#record = record;
    this.#allowance = new Allowance(burst, perSecond, clock.nowMs());
    this.#about = about;
  }

  add(record: AuditRecord): void {
    if (!this.#allowance.take(this.#clock.nowMs())) return;
    const count = this.#allowance.takeRefused();
    if (count > 0) this.#record({ audit: 'omitted', count, ...this.#about?.() });
    this.#record(record);
  }
}

export interface FlowAuditOptions {
  readonly clock: Clock;
  /** Returns the peer as it is called now. */
  readonly peer: () => AuditPeer;
  readonly record: (record: AuditRecord) => void;
  /** Takes the records about refused connections. */
  readonly refusals: Pick<PacedAudit, 'add'>;
}

/** Returns a request to answer in place of this one: it records the stream that becomes of it, from the answer on. */
export function audited(request: OpenRequest, options: FlowAuditOptions): OpenRequest {
  return new FollowedRequest(request, options);
}

class FollowedRequest implements OpenRequest {
  readonly opener: StreamOpener;
  onCancelled: (() => void) | undefined;
  /** See {@link OpenRequest.reached}. */
  reached: string | undefined;
  readonly #request: OpenRequest;
  readonly #options: FlowAuditOptions;
  readonly #flow: Flow;

  constructor(request: OpenRequest, options: FlowAuditOptions) {
    this.#request = request;
    this.#options = options;
    const { target, idBytes } = request;
    const place = placeOf(target);
    this.#flow = new Flow(options, idText(idBytes), place);
    this.opener = { open: (wanted, handlers) => this.#open(wanted, handlers) };
    request.onCancelled = () => {
      this.#flow.refused('cancelled', 'the peer no longer wants it');
      this.onCancelled?.();
    };
  }

  get target(): Target {
    return this.#request.target;
  }

  get idBytes(): Uint8Array {
    return this.#request.idBytes;
  }

  get isCancelled(): boolean {
    return this.#request.isCancelled;
  }

  accept(handlers: StreamHandlers): MuxStream {
    const stream = this.#request.accept(this.#flow.handlers(handlers));
    this.#flow.opened(this.reached);
    return new FollowedStream(stream, this.#flow);
  }

  refuse(reason: Reason, text = ''): void {
    this.#flow.refused(reason, text);
    this.#request.refuse(reason, text);
  }

  /** Opens a stream for a client that connected to a port of the peer. */
  #open(wanted: Target, handlers: StreamHandlers): MuxStream {
    const target = this.reached ?? placeOf(this.#request.target).target;
    const flow = new Flow(this.#options, '', { kind: 'reverse', target, client: placeOf(wanted).target });
    const stream = this.#request.opener.open(wanted, flow.handlers(handlers));
    flow.id = stream.id;
    return new FollowedStream(stream, flow);
  }
}

/** Where a flow leads. */
interface Place {
  readonly kind: AuditFlow['kind'] | 'listen';
  readonly target: string;
  readonly client?: string;
}

/** One flow, from the answer to its request to its end. Each step is recorded once. */
class Flow {
  /** The UUID of the stream. */
  id: string;
  readonly #options: FlowAuditOptions;
  readonly #place: Place;
  #state: 'asked' | 'open' | 'over' = 'asked';
  #address: string | undefined;
  #openedMs = 0;
  #inEnded = false;
  #outEnded = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #datagramsIn = 0;
  #datagramsOut = 0;

  constructor(options: FlowAuditOptions, id: string, place: Place) {
    this.#options = options;
    this.id = id;
    this.#place = place;
  }

  /** Returns handlers that count, and pass everything on. */
  handlers(inner: StreamHandlers): StreamHandlers {
    return {
      onOpened: () => {
        this.opened(undefined);
        inner.onOpened?.();
      },
      onRefused: (reason, text) => {
        this.refused(reason, text);
        inner.onRefused?.(reason, text);
      },
      onData: (chunk) => {
        this.#bytesIn += chunk.length;
        inner.onData?.(chunk);
      },
      onDatagram: (datagram) => {
        this.#bytesIn += datagram.length;
        this.#datagramsIn++;
        inner.onDatagram?.(datagram);
      },
      onEnd: () => {
        this.#inEnded = true;
        this.#endWhenBoth();
        inner.onEnd?.();
      },
      onReset: (reason, remote) => {
        this.cut(reason);
        inner.onReset?.(reason, remote);
      },
      onDrain: () => inner.onDrain?.(),
    };
  }

  /** @param reached the address that was dialled, or the port that was opened */
  opened(reached: string | undefined): void {
    if (this.#state !== 'asked') return;
    this.#state = 'open';
    this.#openedMs = this.#options.clock.nowMs();
    this.#address = reached;
    if (this.#place.kind === 'listen') this.#record({ audit: 'bound', ...this.#bind() });
    else this.#record({ audit: 'opened', ...this.#fields(), ...this.#ends() });
  }

  refused(reason: Reason, message: string): void {
    if (this.#state !== 'asked') return;
    this.#state = 'over';
    const audit = reason === 'not-allowed' ? 'denied' : 'failed';
    // What follows says what to do, to people at the far end.
    const [what = ''] = message.split(';');
    this.#options.refusals.add({ audit, ...this.#fields(), reason, message: what });
  }

  sent(bytes: number, datagrams = 0): void {
    this.#bytesOut += bytes;
    this.#datagramsOut += datagrams;
  }

  endedOut(): void {
    this.#outEnded = true;
    this.#endWhenBoth();
  }

  /** Records that either end has cut it short. */
  cut(reason: Reason): void {
    if (this.#state === 'asked') this.refused(reason, '');
    else this.#end('reset', reason);
  }

  #endWhenBoth(): void {
    if (this.#inEnded && this.#outEnded) this.#end('ended');
  }

  #end(how: 'ended' | 'reset', reason?: Reason): void {
    if (this.#state !== 'open') return;
    this.#state = 'over';
    const durationMs = Math.round(this.#options.clock.nowMs() - this.#openedMs);
    if (this.#place.kind === 'listen') {
      this.#record({ audit: 'unbound', ...this.#bind(), durationMs });
      return;
    }
    this.#record({
      audit: 'ended',
      ...this.#fields(),
      ...this.#ends(),
      how,
      ...(reason === undefined ? {} : { reason }),
      durationMs,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      ...(this.#place.kind === 'udp' && {
        datagramsIn: this.#datagramsIn,
        datagramsOut: this.#datagramsOut,
      }),
    });
  }

  #fields(): AuditFlow {
    const { kind, target } = this.#place;
    const isBind = kind === 'listen';
    return {
      ...this.#options.peer(),
      flow: this.id,
      kind: isBind ? 'reverse' : kind,
      target: isBind ? `-R ${target}` : target,
    };
  }

  #bind(): AuditPeer & { flow: string; listen: string } {
    return { ...this.#options.peer(), flow: this.id, listen: this.#address ?? this.#place.target };
  }

  #ends(): AuditEnds {
    const { client } = this.#place;
    return {
      ...(this.#address === undefined ? {} : { address: this.#address }),
      ...(client === undefined ? {} : { client }),
    };
  }

  #record(record: AuditRecord): void {
    this.#options.record(record);
  }
}

/** A stream whose flow is audited. */
class FollowedStream implements MuxStream {
  readonly #stream: MuxStream;
  readonly #flow: Flow;

  constructor(stream: MuxStream, flow: Flow) {
    this.#stream = stream;
    this.#flow = flow;
  }

  get id(): string {
    return this.#stream.id;
  }

  get backlogBytes(): number {
    return this.#stream.backlogBytes;
  }

  get isCrowded(): boolean {
    return this.#stream.isCrowded;
  }

  get isClosed(): boolean {
    return this.#stream.isClosed;
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#stream.isClosed) this.#flow.sent(bytes.length);
    return this.#stream.write(bytes);
  }

  sendDatagram(datagram: Uint8Array): void {
    if (!this.#stream.isClosed) this.#flow.sent(datagram.length, 1);
    this.#stream.sendDatagram(datagram);
  }

  end(): void {
    this.#stream.end();
    this.#flow.endedOut();
  }

  reset(reason: Reason): void {
    this.#stream.reset(reason);
    this.#flow.cut(reason);
  }

  consumed(bytes: number): void {
    this.#stream.consumed(bytes);
  }
}

function placeOf(target: Target): Place {
  if (target.kind === 'path') return { kind: 'path', target: target.path };
  const kind = target.kind === 'accepted' ? 'reverse' : target.kind;
  return { kind, target: printHostPort(target) };
}
