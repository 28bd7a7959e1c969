/**
 * Two hosts with a wide area network between them: network namespaces for this run, joined by the userspace
 * link of wan.c. Needs Linux, root, iproute2, ethtool and a C compiler.
 */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startChild, stopChild } from '../../test/support/child_process.js';

export interface LinkOptions {
  /** One way, in milliseconds. */
  readonly delayMs: number;
  /** Up to this much more, evenly distributed. */
  readonly jitterMs?: number;
  /** In each direction, counted in Ethernet frames. */
  readonly lossPercent: number;
  readonly rateMbit: number;
  /** A frame that finds this many kilobytes waiting is dropped. Default 500. */
  readonly queueKb?: number;
}

export type Host = 'a' | 'b';

const PREFIX = 'toxwan';
const FIRST_ADDRESS = { a: '10.77.0.1', b: '10.77.0.2' } as const;
const SUBNET = '10.77.0.0/24';

/** Returns why the hosts cannot be set up here, in words; undefined when they can. */
export function wanUnavailable(): string | undefined {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces';
  for (const [program, ...args] of [
    ['ip', '-V'],
    ['cc', '--version'],
    // Otherwise checksums stay incomplete, because no card completes them here, and every frame is dropped.
    ['ethtool', '--version'],
  ] as const) {
    if (spawnSync(program, args).status !== 0) return `needs the program ${program}`;
  }
  return undefined;
}

export class WanHosts {
  readonly #name = `${PREFIX}${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), `${PREFIX}-`));
  readonly #wanFile = join(this.#folder, 'wan');
  readonly #removeAtExit = (): void => this.#remove();
  readonly #addresses: Record<Host, string> = { ...FIRST_ADDRESS };
  #link: ChildProcess | undefined;

  /** @throws when a step fails; what exists by then is removed when the process exits */
  constructor() {
    removeLeftovers();
    process.on('exit', this.#removeAtExit);
    run('cc', '-O2', '-o', this.#wanFile, fileURLToPath(new URL('wan.c', import.meta.url)));
    for (const end of ['a', 'b', 'w']) {
      run('ip', 'netns', 'add', this.#space(end));
      run('ip', '-n', this.#space(end), 'link', 'set', 'lo', 'up');
    }
    for (const host of ['a', 'b'] as const) {
      const peer = ['peer', 'name', `wan-${host}`, 'netns', this.#space('w')];
      run('ip', 'link', 'add', 'eth0', 'netns', this.#space(host), 'type', 'veth', ...peer);
      run('ip', '-n', this.#space(host), 'link', 'set', 'eth0', 'up');
      run('ip', '-n', this.#space('w'), 'link', 'set', `wan-${host}`, 'up');
      // Frames leave as a wire would carry them: not coalesced, and with their checksums.
      plainFrames(this.#space(host), 'eth0');
      plainFrames(this.#space('w'), `wan-${host}`);
      this.#addAddress(host);
    }
  }

  address(host: Host): string {
    return this.#addresses[host];
  }

  /** Returns the prefix that runs a command on this host. */
  on(host: Host): readonly string[] {
    return ['ip', 'netns', 'exec', this.#space(host)];
  }

  /** Replaces the link with a new one, with empty queues and not cut. */
  async setLink(link: LinkOptions): Promise<void> {
    await this.#stopLink();
    const options = [
      `delay_ms=${link.delayMs}`,
      `jitter_ms=${link.jitterMs ?? 0}`,
      `loss_pct=${link.lossPercent}`,
      `rate_mbit=${link.rateMbit}`,
      `queue_kb=${link.queueKb ?? 500}`,
    ];
    const command = ['netns', 'exec', this.#space('w'), this.#wanFile, 'wan-a', 'wan-b', ...options];
    const child = startChild('ip', command);
    this.#link = child;
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (line === 'wan: up') resolve();
      });
      child.once('close', () => reject(new Error('the emulated link exited')));
    });
  }

  cut(): void {
    this.#link?.kill('SIGUSR1');
  }

  mend(): void {
    this.#link?.kill('SIGUSR2');
  }

  /**
   * Blocks UDP in both directions, as a strict firewall does, or lets it through again; each call toggles.
   */
  toggleUdp(): void {
    this.#link?.kill('SIGHUP');
  }

  /** The host loses its address and gets the next one, as when it joins another network. */
  moveOn(host: Host): void {
    run('ip', '-n', this.#space(host), 'addr', 'flush', 'dev', 'eth0', 'scope', 'global');
    this.#addresses[host] = this.#addresses[host].replace(/\d+$/, (last) => String(Number(last) + 10));
    this.#addAddress(host);
  }

  /** Sets the congestion control of new TCP connections on both hosts. */
  setCongestionControl(name: string): void {
    for (const host of ['a', 'b'] as const) {
      // Set on the route: the setting of a namespace accepts only algorithms that the machine allows everyone
      // to use.
      const route = [SUBNET, 'dev', 'eth0', 'proto', 'kernel', 'scope', 'link', 'src', this.#addresses[host]];
      run('ip', '-n', this.#space(host), 'route', 'replace', ...route, 'congctl', name);
    }
  }

  async remove(): Promise<void> {
    await this.#stopLink();
    process.off('exit', this.#removeAtExit);
    this.#remove();
  }

  async #stopLink(): Promise<void> {
    if (this.#link !== undefined) await stopChild(this.#link);
    this.#link = undefined;
  }

  #space(end: string): string {
    return `${this.#name}${end}`;
  }

  #addAddress(host: Host): void {
    const address = `${this.#addresses[host]}${SUBNET.slice(SUBNET.indexOf('/'))}`;
    run('ip', '-n', this.#space(host), 'addr', 'add', address, 'dev', 'eth0');
  }

  /** Not async, because it must work while the process exits, too. */
  #remove(): void {
    for (const end of ['a', 'b', 'w']) spawnSync('ip', ['netns', 'del', this.#space(end)]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Finds the namespaces of runs that were killed before they could remove them. */
function removeLeftovers(): void {
  for (const name of readNamespaces()) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)[abw]$`).exec(name)?.[1]);
    if (Number.isNaN(pid) || isAlive(pid)) continue;
    spawnSync('ip', ['netns', 'del', name]);
  }
}

function readNamespaces(): readonly string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return []; // no namespace exists yet
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function plainFrames(space: string, device: string): void {
  const off = ['tx', 'gso', 'tso', 'gro'].flatMap((feature) => [feature, 'off']);
  spawnSync('ip', ['netns', 'exec', space, 'ethtool', '-K', device, ...off]); // fails for unknown features
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
