import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { ControlConnection, callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { HostPort } from '../../rules/endpoint.js';
import { printHostPort } from '../../rules/endpoint.js';
import { type Remote, remoteText } from '../options/remote.js';
import type { ForwardKind } from '../output/events.js';
import { type RunningForward, RunningForwardSchema } from '../output/forward_text.js';
import type { Lifetime } from '../process/lifetime.js';

const AddedSchema = v.object({ forward: RunningForwardSchema });
const LendSchema = v.object({ lends: v.boolean() });

/** A forward to open in the other process, in the syntax of its option. */
export interface LentWish {
  readonly kind: ForwardKind;
  readonly spec: string;
  /** For clients of a proxy. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/**
 * What two processes compare to find out whether they have the same ticket. A program that reads it learns nothing of
 * the ticket.
 */
export function remoteDigest(remote: Remote['remote']): string {
  return createHash('sha256')
    .update(`tox-wasm-tunnel lend ${remoteText(remote)}`)
    .digest('hex');
}

/** A running connector of this user that is connected with the same ticket, and opens forwards for this process. */
export class Lender {
  readonly pid: number;
  readonly #folder: string;
  readonly #digest: string;
  readonly #timers: Timers;

  private constructor(folder: string, pid: number, digest: string, timers: Timers) {
    this.#folder = folder;
    this.pid = pid;
    this.#digest = digest;
    this.#timers = timers;
  }

  /** Finds the first one with this state folder; undefined when there is none. */
  static async find(
    folder: string | undefined,
    remote: Remote['remote'],
    timers: Timers,
  ): Promise<Lender | undefined> {
    if (folder === undefined) return undefined;
    for (const door of await liveDoors(folder)) {
      if (door === 'listener') continue;
      const lender = new Lender(folder, door, remoteDigest(remote), timers);
      if (await lender.#lends().catch(() => false)) return lender;
    }
    return undefined;
  }

  /** Whether it has the ticket. @throws {TunnelError} or a fault of its answer: older versions lend nothing */
  async #lends(): Promise<boolean> {
    return v.parse(LendSchema, await this.ask('lend', { remote: this.#digest })).lends;
  }

  ask(method: string, params: unknown): Promise<unknown> {
    return callDoor({ folder: this.#folder, door: this.pid }, method, params, this.#timers);
  }

  /** @throws {TunnelError} ERR_CONTROL when it has ended */
  async borrow(): Promise<Loan> {
    const to = { folder: this.#folder, door: this.pid };
    return new Loan(this.pid, await ControlConnection.open(to, this.#timers));
  }

  /** The error of a command whose connection has ended: only the other process knows why. */
  cut(cause: Error): TunnelError {
    return new TunnelError(
      'ERR_STREAM_RESET',
      `the connection was refused or cut; connector ${this.pid}, which made it, has printed why (tox-wasm-tunnel status; or end it and run this again)`,
      { cause },
    );
  }
}

/** Forwards that a {@link Lender} opens for this process. They end with it, however it ends. */
export class Loan {
  readonly #pid: number;
  readonly #connection: ControlConnection;
  readonly #forwards: RunningForward[] = [];

  constructor(pid: number, connection: ControlConnection) {
    this.#pid = pid;
    this.#connection = connection;
  }

  /** @throws {TunnelError} the error of the other process */
  async add(wish: LentWish): Promise<RunningForward> {
    const answer = await this.#connection.ask('forward.add', { ...wish, isLent: true });
    const { forward } = v.parse(AddedSchema, answer);
    this.#forwards.push(forward);
    return forward;
  }

  /** Resolves once the lender has ended, or when the command ends. */
  async over(lifetime: Lifetime): Promise<void> {
    await Promise.race([this.#connection.closed, lifetime.over()]);
  }

  /** Ends all forwards. Resolves once their ports are free. */
  async end(): Promise<void> {
    for (const { kind, listen, target } of this.#forwards.splice(0)) {
      // With its target: all forwards that wait for the listener's choice have port 0.
      const spec = kind === 'dynamic' ? listen : `${listen}:${target}`;
      await this.#connection.ask('forward.remove', { kind, spec }).catch(() => {});
    }
    this.#connection.close();
  }

  /**
   * Opens one connection to a target, through a socket in a folder of its own, which nobody else can use.
   *
   * @throws {TunnelError} the error of the other process, or ERR_CONTROL when it ends first
   */
  async dial(target: HostPort): Promise<Socket> {
    const folder = await mkdtemp(join(tmpdir(), 'tox-wasm-tunnel-'));
    const listen = join(folder, 'lent.sock');
    try {
      await this.add({ kind: 'local', spec: `${listen}:${printHostPort(target)}` });
      const socket = connect({ path: listen, allowHalfOpen: true });
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', (cause) => reject(lost(this.#pid, cause)));
      });
      return socket;
    } finally {
      // Connections that are open go on.
      await this.end();
      await rm(folder, { recursive: true, force: true });
    }
  }
}

function lost(pid: number, cause: unknown): TunnelError {
  return new TunnelError(
    'ERR_CONTROL',
    `connector ${pid}, which has the connection to this listener, has just ended; run this again`,
    { cause },
  );
}
