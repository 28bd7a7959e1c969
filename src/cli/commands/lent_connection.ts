import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { ControlConnection, callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { isAborted } from '../../core/aborting.js';
import { keepProcess, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { type HostPort, isPath, printHostPort } from '../../rules/endpoint.js';
import { printBind, printForwardSpec } from '../../rules/forward_spec.js';
import type { Context } from '../command.js';
import { type Remote, remoteText } from '../options/remote.js';
import type { ForwardKind } from '../output/events.js';
import { type RunningForward, RunningForwardSchema } from '../output/forward_text.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { ProxyOptions } from '../process/library.js';
import { Lifetime } from '../process/lifetime.js';
import { joinStream } from '../service/foreground.js';
import type { Wish } from '../service/wanted_forwards.js';

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
      `the connection was refused or cut; connector ${this.pid}, which made it, has printed why; see tox-wasm-tunnel status, or end that connector and run this again`,
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
      // With its target: all forwards waiting for the listener's choice have port 0.
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
      // Open connections continue.
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

export interface LentWants {
  readonly wishes: readonly Wish[];
  readonly udps: readonly string[] | undefined;
  readonly proxies: readonly ProxyOptions[];
  readonly reverses: readonly string[] | undefined;
  readonly stdio: HostPort | undefined;
}

/**
 * Runs the forwards in a connector that has a connection with this ticket, so that this machine is one peer there, with
 * one identity.
 *
 * @returns undefined when that connector has ended: this process then connects by itself
 */
export async function runLent(
  context: Context,
  lender: Lender,
  { wishes, udps = [], proxies, reverses = [], stdio }: LentWants,
  onAdded: (added: RunningForward, note?: string) => void,
): Promise<ExitCode | undefined> {
  const { io, reporter } = context;
  const loan = await lender.borrow();
  const lifetime = new Lifetime(io, 'end');
  context.onOutputLost(() => lifetime.stop());
  const release = keepProcess();
  const add = async (wish: LentWish, note?: string): Promise<void> => onAdded(await loan.add(wish), note);
  try {
    reporter.event({ event: 'lent', pid: lender.pid });
    if (stdio !== undefined) {
      joinStream(io, await loan.dial(stdio), lifetime, (cause) => lender.cut(cause));
      await lifetime.over();
      return EXIT.ok;
    }
    for (const { spec, anyPort } of wishes) {
      const { bind } = spec;
      try {
        await add({ kind: 'local', spec: printForwardSpec(spec) });
      } catch (error) {
        const isTaken = TunnelError.is(error) && ['ERR_LISTEN', 'ERR_USAGE'].includes(error.code);
        if (!anyPort || isPath(bind) || !isTaken) throw error;
        const free = { ...spec, bind: { ...bind, port: 0 } };
        await add({ kind: 'local', spec: printForwardSpec(free) }, notAvailable(bind.port));
      }
    }
    for (const spec of udps) await add({ kind: 'udp', spec });
    for (const { bind, credentials } of proxies)
      await add({
        kind: 'dynamic',
        spec: printBind(bind),
        ...(credentials === undefined ? {} : { credentials }),
      });
    for (const spec of reverses) await add({ kind: 'reverse', spec });
    await loan.over(lifetime);
    if (isAborted(lifetime.signal)) return EXIT.ok;
    reporter.notice(`Connector ${lender.pid} has ended; connecting again`);
    return undefined;
  } finally {
    lifetime.dispose();
    await loan.end();
    release();
  }
}

export const notAvailable = (port: number): string =>
  `port ${port} is not available here; choose one with -p`;
