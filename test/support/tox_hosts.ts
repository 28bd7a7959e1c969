import { CLI, CliProcess } from './cli_process.js';
import { Namespaces } from './namespaces.js';

/** Hosts in network namespaces, and the command line's processes on them. */
export class ToxHosts {
  readonly spaces = new Namespaces();
  readonly #processes: CliProcess[] = [];

  /** A command on a host; events as JSON. */
  run(space: string, ...args: readonly string[]): CliProcess {
    const program = [...this.spaces.on(space), ...CLI];
    const started = CliProcess.start([...args, '--json'], { program });
    this.#processes.push(started);
    return started;
  }

  /** A bootstrap node with a relay at that address of a host; its line. */
  async node(space: string, address: string): Promise<string> {
    const ports = ['--port', '33445', '--tcp-port', '33445'];
    const node = this.run(space, 'node', ...ports, '--bind', address, '--no-lan', '--ephemeral');
    return String((await node.event('node'))['bootstrap']);
  }

  /**
   * A listener that exposes a path and, as soon as its ticket is known, a connector that leads there from another.
   *
   * @param args of both
   */
  async tunnel(
    listenSpace: string,
    target: string,
    connectSpace: string,
    path: string,
    args: readonly string[],
  ): Promise<Pair> {
    const listener = this.run(listenSpace, 'listen', '--expose', target, '--ephemeral', ...args);
    const { ticket } = await listener.event('started');
    const forward = ['-L', `${path}:${target}`, '--ephemeral'];
    const connector = this.run(connectSpace, 'connect', String(ticket), ...forward, ...args);
    return new Pair(listener, connector, path);
  }

  /** At once: what was tested is over. */
  async remove(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop('SIGKILL')));
    this.spaces.remove();
  }
}

/** A listener and a connector. */
export class Pair {
  readonly listener: CliProcess;
  readonly connector: CliProcess;
  /** A UNIX socket that leads to the target. */
  readonly path: string;

  constructor(listener: CliProcess, connector: CliProcess, path: string) {
    this.listener = listener;
    this.connector = connector;
    this.path = path;
  }

  /** Resolves when the connector reaches the listener that way, past or to come. */
  async isReached(by: 'udp' | 'relay'): Promise<void> {
    await this.connector.event('peer', ({ status, path }) => status === 'online' && path === by);
  }

  async stop(): Promise<void> {
    await Promise.all([this.connector.stop('SIGKILL'), this.listener.stop('SIGKILL')]);
  }
}
