/** Network namespaces of this process. Needs Linux, root, iproute2 and nftables. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { hasProgram, IPROUTE2, NFTABLES } from './programs.js';

const PREFIX = 'toxtest';
/** The folder with files that are mounted over those of /etc for programs in a namespace. See ip-netns(8). */
const ETC_ROOT = '/etc/netns';

let worlds = 0;

/** For `describe(name, { skip: withoutNamespaces() }, …)`: false, or a line that says what is missing. */
export function withoutNamespaces(): string | false {
  if (process.platform !== 'linux') return `needs network namespaces: Linux, but this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs network namespaces: root';
  for (const program of [IPROUTE2, NFTABLES]) {
    if (!hasProgram(program)) return `needs ${program.name} (Debian package ${program.debianPackage})`;
  }
  return refusal() ?? false;
}

/** A container may have root without permission to create namespaces, or its kernel may have no NAT. */
function refusal(): string | undefined {
  const space = `${PREFIX}${process.pid}try`;
  try {
    const added = spawnSync('ip', ['netns', 'add', space]);
    if (added.status !== 0) return `needs network namespaces: ${firstLine(added.stderr)}`;
    const nat = 'table inet nat {\nchain post { type nat hook postrouting priority 100; masquerade; }\n}';
    const filled = spawnSync('ip', ['netns', 'exec', space, 'nft', '-f', '-'], { input: nat });
    return filled.status === 0 ? undefined : `needs NAT by nftables: ${firstLine(filled.stderr)}`;
  } finally {
    spawnSync('ip', ['netns', 'del', space]);
  }
}

const firstLine = (output: Buffer): string => output.toString('utf8').split('\n', 1)[0] ?? '';

/** An end of a link: the name of its device in a space, and its addresses, such as `192.0.2.1/24`. */
export interface LinkEnd {
  readonly space: string;
  readonly device: string;
  readonly addresses: readonly string[];
}

/**
 * Namespaces and the links between them; {@link remove} removes them all, and runs when the process exits if
 * not before.
 */
export class Namespaces {
  readonly #prefix = `${PREFIX}${process.pid}n${worlds++}`;
  readonly #spaces = new Set<string>();
  readonly #removeAtExit = (): void => this.remove();

  constructor() {
    removeLeftovers();
    process.on('exit', this.#removeAtExit);
  }

  add(space: string): void {
    this.#spaces.add(space);
    run('ip', 'netns', 'add', this.#name(space));
    run('ip', '-n', this.#name(space), 'link', 'set', 'lo', 'up');
  }

  /** Connects two spaces with a cable. */
  link(one: LinkEnd, other: LinkEnd): void {
    const first = ['add', 'name', one.device, 'netns', this.#name(one.space), 'type', 'veth'];
    run('ip', 'link', ...first, 'peer', 'name', other.device, 'netns', this.#name(other.space));
    for (const { space, device, addresses } of [one, other]) {
      for (const address of addresses) this.addAddress(space, device, address);
      this.ip(space, 'link', 'set', device, 'up');
    }
  }

  addAddress(space: string, device: string, address: string): void {
    // Without this, an IPv6 address is unusable for a second, while the kernel looks for duplicates.
    this.ip(space, 'addr', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
  }

  /** Runs `ip` in this space. */
  ip(space: string, ...args: readonly string[]): void {
    run('ip', '-n', this.#name(space), ...args);
  }

  /** Replaces all packet rules of this space. */
  rules(space: string, text: string): void {
    const [command = '', ...args] = [...this.on(space), 'nft', '-f', '-'];
    execFileSync(command, args, { input: `flush ruleset\n${text}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
  }

  /** Writes a kernel setting below /proc/sys/net of this space. */
  setting(space: string, path: string, value: string): void {
    const script = `echo ${value} > /proc/sys/net/${path}`;
    const [command = '', ...args] = [...this.on(space), 'sh', '-c', script];
    run(command, ...args);
  }

  /** Returns the prefix that runs a command in this space. */
  on(space: string): readonly string[] {
    return ['ip', 'netns', 'exec', this.#name(space)];
  }

  /** Returns the folder whose files replace those of /etc for programs started in this space from now on. */
  etcFolder(space: string): string {
    return `${ETC_ROOT}/${this.#name(space)}`;
  }

  /** Not async, because it must work while the process exits, too. */
  remove(): void {
    process.off('exit', this.#removeAtExit);
    for (const space of this.#spaces) removeSpace(this.#name(space));
    this.#spaces.clear();
  }

  #name(space: string): string {
    return `${this.#prefix}${space}`;
  }
}

function removeSpace(name: string): void {
  spawnSync('ip', ['netns', 'del', name]);
  rmSync(`${ETC_ROOT}/${name}`, { recursive: true, force: true });
}

/** Finds the namespaces of runs that were killed before they could remove them. */
function removeLeftovers(): void {
  let names: readonly string[];
  try {
    names = readdirSync('/run/netns');
  } catch {
    return; // no namespace exists yet
  }
  for (const name of names) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)(?:n|try)`).exec(name)?.[1]);
    if (!Number.isNaN(pid) && !isAlive(pid)) removeSpace(name);
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

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
