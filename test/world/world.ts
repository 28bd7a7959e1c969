import { beginFault } from './faults.js';
import type { Exchange } from './load.js';
import { FAULTS_FROM_MS, type Plan } from './plan.js';
import type { SimProcess } from './process.js';
import { type EndState, PATIENCE_MS, Stage, stackOf } from './stage.js';

/** How long an end may believe in a peer that is dead. Source: FRIEND_CONNECTION_TIMEOUT, toxcore, and some seconds. */
const DEAD_PEER_MS = 40_000;
/** Once the network permits, every connector is back within this time. */
export const RECOVERY_MS = 20_000;
/** How long an end may then call a peer away that is back. */
const STATUS_MS = 2_000;
/** How long streams may take to end once everybody is back. */
const DRAIN_MS = 30_000;

const CHECK_MS = 1_000;
/** Turns of one process per second when it carries little. */
const MAX_TURNS = 20_000;
const MAX_SOCKETS = 200;
/** The size of the wasm memory at the start: it must suffice. */
const MAX_MEMORY_BYTES = 16 * 1024 * 1024;
const MAX_TIMERS = 100;

/** What a run showed. */
export interface Outcome {
  readonly plan: Plan;
  /** Broken invariants, each with its time; empty when all held. */
  readonly broken: readonly string[];
  readonly log: readonly string[];
  /** How long each connector took to be of use again, once the network permitted. */
  readonly recoveriesMs: readonly number[];
  /** Virtual time of the run. */
  readonly tookMs: number;
  /** The longest time in which an open stream that was in use delivered nothing. */
  readonly longestSilenceMs: number;
  readonly events: number;
  readonly datagrams: number;
}

/** Runs a planned world to its end. */
export async function runWorld(plan: Plan): Promise<Outcome> {
  const stage = new Stage(plan);
  const world = new World(stage);
  const onRejection = (error: unknown): void => stage.broke(`unhandled rejection: ${stackOf(error)}`);
  process.on('unhandledRejection', onRejection);
  try {
    await world.run();
  } catch (error) {
    stage.broke(`exception: ${stackOf(error)}`);
  } finally {
    process.off('unhandledRejection', onRejection);
    for (const process of stage.everyProcess) process.kill();
  }
  return world.outcome();
}

/** Runs a stage through its faults, and checks what must hold. */
class World {
  readonly #stage: Stage;
  readonly #recoveriesMs: number[] = [];
  readonly #turnsBefore = new Map<SimProcess, number>();
  #silenceMs = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  outcome(): Outcome {
    const { plan, broken, log, loop, net } = this.#stage;
    return {
      plan,
      broken,
      log,
      recoveriesMs: this.#recoveriesMs,
      tookMs: loop.nowMs,
      longestSilenceMs: this.#silenceMs,
      events: loop.events,
      datagrams: net.datagrams,
    };
  }

  async run(): Promise<void> {
    const stage = this.#stage;
    const { loop, plan } = stage;
    await stage.build();
    if (stage.broken.length > 0) return;
    this.#check();
    for (const fault of plan.faults) loop.clock.at(fault.atMs, () => beginFault(stage, fault));
    const overMs = Math.max(FAULTS_FROM_MS, ...plan.faults.map(({ atMs, forMs }) => atMs + forMs));
    await loop.run(overMs);
    stage.say('the network permits everything again');
    await this.#recover();
    await this.#drain();
    await this.#waitForDead();
    await this.#leave();
  }

  /** What must hold at any time. */
  #check(): void {
    const { clock } = this.#stage.loop;
    const look = (): void => {
      for (const own of this.#stage.everyProcess) {
        if (!own.isAlive) continue;
        const turns = own.turns - (this.#turnsBefore.get(own) ?? 0);
        this.#turnsBefore.set(own, own.turns);
        if (turns > MAX_TURNS) this.#stage.broke(`${own.name} ran ${turns} turns in a second`);
        const sockets = own.sockets?.openSockets ?? 0;
        if (sockets > MAX_SOCKETS) this.#stage.broke(`${own.name} has ${sockets} sockets`);
        if (own.memoryBytes > MAX_MEMORY_BYTES)
          this.#stage.broke(`${own.name} uses ${own.memoryBytes} bytes of wasm memory`);
        if (own.timersSet > MAX_TIMERS) this.#stage.broke(`${own.name} has ${own.timersSet} timers set`);
      }
      if (this.#stage.targets.wasBreached)
        this.#stage.broke('a connection reached a port that no rule names');
      this.#stage.targets.wasBreached = false;
      for (const { exchanges } of this.#stage.ends) {
        for (const exchange of exchanges) {
          this.#silenceMs = Math.max(this.#silenceMs, exchange.longestSilenceMs);
          if (exchange.fault !== undefined) this.#stage.broke(exchange.fault);
          exchange.fault = undefined;
        }
      }
      clock.after(CHECK_MS, look);
    };
    clock.after(CHECK_MS, look);
  }

  /** Every connector must carry a fresh stream soon. */
  async #recover(): Promise<void> {
    const fromMs = this.#stage.loop.nowMs;
    const waiting = new Map<EndState, Exchange | undefined>();
    for (const end of this.#stage.ends.slice(1)) waiting.set(end, undefined);
    const probe = (): void => {
      for (const [end, last] of waiting) {
        if (last?.outcome === 'whole') {
          this.#recoveriesMs.push(last.overAtMs - fromMs);
          waiting.delete(end);
        } else if (
          end.process?.isAlive === true &&
          end.tunnel !== undefined &&
          (last === undefined || last.outcome === 'cut')
        ) {
          waiting.set(
            end,
            this.#stage.exchange(end, end.process, { totalBytes: 500, pieceBytes: 500, everyMs: 0 }),
          );
        }
      }
      if (waiting.size > 0) this.#stage.loop.clock.after(50, probe);
    };
    probe();
    const isBack = await this.#stage.loop.run(fromMs + RECOVERY_MS, () => waiting.size === 0);
    if (!isBack) {
      for (const [end, last] of waiting) {
        this.#stage.broke(
          `connector ${end.number} is not back after ${RECOVERY_MS} ms (its last stream: ${last?.outcome ?? 'none'})`,
        );
      }
      await this.#stage.loop.run(fromMs + 4 * RECOVERY_MS, () => waiting.size === 0);
      this.#stage.say(
        waiting.size === 0 ? `all are back after ${this.#stage.loop.nowMs - fromMs} ms` : 'still not back',
      );
      return;
    }
    // An end may just have met its peer in a new Tox session.
    await this.#stage.loop.run(this.#stage.loop.nowMs + STATUS_MS, () => this.#lies().length === 0);
    for (const lie of this.#lies()) this.#stage.broke(lie);
  }

  /** What `status` would say, and is not true while all connectors are served. */
  #lies(): string[] {
    const listener = this.#stage.ends[0]!.tunnel;
    return this.#stage.ends.slice(1).flatMap(({ number, tunnel }) => {
      const [peer] = tunnel?.peers() ?? [];
      const key = tunnel?.toxId.slice(0, 64);
      const back = listener?.peers().find(({ publicKey }) => publicKey === key);
      return [
        ...(peer?.status === 'online'
          ? []
          : [`connector ${number} calls the listener ${peer?.status ?? 'unknown'} and uses it`]),
        ...(back?.status === 'online'
          ? []
          : [`the listener calls connector ${number} ${back?.status ?? 'unknown'} and serves it`]),
      ];
    });
  }

  /** Everything that was sent must come back, or both ends must hear of it. */
  async #drain(): Promise<void> {
    this.#stage.isDraining = true;
    const all = this.#stage.ends.slice(1).flatMap(({ exchanges }) => exchanges);
    for (const exchange of all) exchange.finish();
    this.#stage.loop.unsettle();
    const isOver = await this.#stage.loop.run(this.#stage.loop.nowMs + DRAIN_MS, () =>
      all.every(({ outcome }) => outcome !== 'open'),
    );
    if (isOver) return;
    for (const { outcome, shape, receivedBytes, sentBytes } of all) {
      if (outcome === 'open')
        this.#stage.broke(`exchange ${shape.id} hangs: ${receivedBytes} of ${sentBytes} bytes are back`);
    }
  }

  /** Streams of dead processes must have ended. */
  async #waitForDead(): Promise<void> {
    const lastDeathMs = Math.max(0, ...this.#stage.diedAtMs.values());
    const isDead = (): boolean =>
      [...this.#stage.targets.open.values()].every((id) => this.#stage.owners.get(id)?.isAlive === true);
    if (isDead()) return;
    await this.#stage.loop.run(lastDeathMs + PATIENCE_MS + DEAD_PEER_MS, isDead);
    for (const id of this.#stage.targets.open.values()) {
      const own = this.#stage.owners.get(id);
      if (own?.isAlive !== true)
        this.#stage.broke(
          `exchange ${id} of ${own?.name ?? 'nobody'}, which is dead, is still open at the listener`,
        );
    }
  }

  /** A polite end leaves nothing open. */
  async #leave(): Promise<void> {
    let left = 0;
    for (const { tunnel } of this.#stage.ends) {
      if (tunnel === undefined) left++;
      else void tunnel.close().then(() => left++);
    }
    this.#stage.loop.unsettle();
    if (
      !(await this.#stage.loop.run(this.#stage.loop.nowMs + 10_000, () => left === this.#stage.ends.length))
    )
      this.#stage.broke('a tunnel does not close');
    for (const { process: own } of this.#stage.ends) {
      const open = own?.sockets?.openSockets ?? 0;
      if (open > 0) this.#stage.broke(`${own?.name} left ${open} sockets open`);
    }
  }
}
