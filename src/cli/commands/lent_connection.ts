import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { isAborted } from '../../core/aborting.js';
import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { HostPort } from '../../rules/endpoint.js';
import { printHostPort } from '../../rules/endpoint.js';
import { type Remote, remoteText } from '../options/remote.js';
import type { ForwardKind } from '../output/events.js';
import { type RunningForward, RunningForwardSchema } from '../output/forward_text.js';
import type { Lifetime } from '../process/lifetime.js';
import { Waiter } from '../service/waiting.js';

const AddedSchema = v.object({ forward: RunningForwardSchema });
const LendSchema = v.object({ lends: v.boolean() });

/** How often to ask whether the connector that lends its connection still runs, in milliseconds. */
const WATCH_MS = 2_000;

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

  /** Whether it still runs with the ticket. While it is too busy to answer, its forwards go on. */
  async #stays(): Promise<boolean> {
    try {
      return await this.#lends();
    } catch {
      return (await liveDoors(this.#folder)).includes(this.pid);
    }
  }

  ask(method: string, params: unknown): Promise<unknown> {
    return callDoor({ folder: this.#folder, door: this.pid }, method, params, this.#timers);
  }

  /** @throws {TunnelError} the error of the other process */
  async add(wish: LentWish): Promise<RunningForward> {
    return v.parse(AddedSchema, await this.ask('forward.add', wish)).forward;
  }

  /** Ends a forward, if it is still there. */
  async remove({ kind, listen, target }: RunningForward): Promise<void> {
    // With its target: all forwards that wait for the listener's choice have port 0.
    const spec = kind === 'dynamic' ? listen : `${listen}:${target}`;
    await this.ask('forward.remove', { kind, spec }).catch(() => {});
  }

  /** Resolves once it runs no longer, or when the command ends. */
  async gone(lifetime: Lifetime): Promise<void> {
    const waiter = new Waiter(this.#timers, lifetime.signal);
    do await waiter.pause(WATCH_MS);
    while (!isAborted(lifetime.signal) && (await this.#stays()));
  }

  /** The error of a command whose connection has ended: only the other process knows why. */
  cut(cause: Error): TunnelError {
    return new TunnelError(
      'ERR_STREAM_RESET',
      `the connection was refused or cut; connector ${this.pid}, which made it, has printed why (tox-wasm-tunnel status; or end it and run this again)`,
      { cause },
    );
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
      const added = await this.add({ kind: 'local', spec: `${listen}:${printHostPort(target)}` });
      try {
        const socket = connect({ path: listen, allowHalfOpen: true });
        await new Promise<void>((resolve, reject) => {
          socket.once('connect', resolve);
          socket.once('error', (cause) => reject(lost(this.pid, cause)));
        });
        return socket;
      } finally {
        // Connections that are open go on.
        await this.remove(added);
      }
    } finally {
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
