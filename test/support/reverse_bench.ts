import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type DescriptorShare, unboundedShare } from '../../src/core/descriptors.js';
import { parseAddress } from '../../src/core/ip.js';
import type { Logger } from '../../src/core/logger.js';
import { limitsOf } from '../../src/core/peer_limits.js';
import { PortHolders } from '../../src/forward/reverse/port_holders.js';
import { ReverseServer } from '../../src/forward/reverse/reverse_server.js';
import type { Session } from '../../src/mux/session/session.js';
import { opensReverse, parseReverseRule } from '../../src/rules/reverse_rule.js';
import type { Refusal, ReverseChange } from '../../src/tunnel/events.js';
import { type Reverse, ReverseForwards } from '../../src/tunnel/reverse_forwards.js';
import { FakeOwner } from './port_owner.js';
import { sessionPair } from './session_pair.js';
import { VirtualTimers } from './virtual_timers.js';

/** A listener that allows `allowed`, and a connector; the test starts and ends the sessions between them. */
export class ReverseBench {
  readonly timers: VirtualTimers;
  readonly owner: FakeOwner;
  readonly holders: PortHolders;
  readonly changes: ReverseChange[] = [];
  readonly refusals: Refusal[] = [];
  readonly lines: string[] = [];
  readonly #fields: string[] = [];
  /** The end at the listener. */
  readonly told: string[] = [];
  readonly forwards: ReverseForwards;
  readonly ports: ReverseServer;
  near: Session | undefined;
  far: Session | undefined;
  allowed: readonly string[];

  constructor(
    allowed: readonly string[],
    maxPorts = 16,
    descriptors = unboundedShare(),
    owner = new FakeOwner('connector'),
    beside?: ReverseBench,
  ) {
    this.allowed = allowed;
    this.owner = owner;
    this.timers = beside?.timers ?? new VirtualTimers();
    this.holders = beside?.holders ?? new PortHolders(this.timers);
    const logger: Logger = {
      log: (level, message, fields) => {
        this.lines.push(`${level} ${message}`);
        this.#fields.push(JSON.stringify(fields ?? {}));
      },
    };
    this.forwards = new ReverseForwards({
      peer: 'listener',
      timers: this.timers,
      logger,
      descriptors: unboundedShare(),
      limits: limitsOf(),
      onChange: (change) => this.changes.push(change),
      onRefused: (refusal) => this.refusals.push(refusal),
    });
    this.ports = new ReverseServer({
      owner,
      holders: this.holders,
      rules: {
        permitsListen: (bind, port) =>
          this.allowed.some((text) => opensReverse(parseReverseRule(text), bind, port)),
      },
      maxPorts,
      descriptors,
      timers: this.timers,
      logger,
      onChange: (status, { host, port }) => this.told.push(`${status} ${host}:${port}`),
    });
  }

  /** How many lines of the log have fields that match. */
  logged(pattern: RegExp): number {
    return this.#fields.filter((fields) => pattern.test(fields)).length;
  }

  connect(): void {
    const { near, far } = sessionPair(
      (request) => {
        const { target } = request;
        if (target.kind === 'listen') this.ports.handle(request, target);
        else request.refuse('unsupported');
      },
      (request) => this.forwards.handle(request),
    );
    this.near = near;
    this.far = far;
    this.forwards.setSession(near);
  }

  disconnect(): void {
    this.forwards.setSession(undefined);
    this.near?.abandon('session-replaced');
    this.far?.abandon('session-replaced');
  }

  /** Waits until the far end listens. @returns its port */
  async listening(reverse: Reverse): Promise<number> {
    while (reverse.remote === undefined) await turn();
    const port = Number(reverse.remote.split(':').at(-1));
    assert.ok(parseAddress(reverse.remote.slice(0, reverse.remote.lastIndexOf(':'))) !== undefined);
    return port;
  }

  async refused(count: number): Promise<Refusal> {
    while (this.refusals.length < count) await turn();
    const refusal = this.refusals[count - 1];
    assert.ok(refusal !== undefined);
    return refusal;
  }
}

export function bench(
  t: TestContext,
  allowed: readonly string[],
  maxPorts?: number,
  descriptors?: DescriptorShare,
): ReverseBench {
  return started(t, new ReverseBench(allowed, maxPorts, descriptors));
}

export function started(t: TestContext, made: ReverseBench): ReverseBench {
  made.connect();
  t.after(() => {
    made.forwards.close();
    made.ports.close();
    made.disconnect();
  });
  return made;
}
