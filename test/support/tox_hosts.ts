import { CLI, CliProcess } from './cli_process.js';
import { Namespaces } from './namespaces.js';

/** Hosts in network namespaces, and processes of the command line on them. */
export class ToxHosts {
  readonly spaces = new Namespaces();
  readonly #processes: CliProcess[] = [];

  /** Starts a command on a host, with events as JSON. */
  run(space: string, ...args: readonly string[]): CliProcess {
    const program = [...this.spaces.on(space), ...CLI];
    const started = CliProcess.start([...args, '--json'], { program });
    this.#processes.push(started);
    return started;
  }

  /** Starts a bootstrap node with a relay at this address of a host; returns its line. */
  async node(space: string, address: string): Promise<string> {
    const ports = ['--port', '33445', '--tcp-port', '33445'];
    const node = this.run(space, 'node', ...ports, '--bind', address, '--no-lan', '--ephemeral');
    return String((await node.event('node'))['bootstrap']);
  }

  /**
   * Starts a listener that exposes a path and, once its ticket is known, a connector on another host that
   * leads there.
   *
   * @param args for both
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

  /** Kills them at once, because the test is over. */
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

  /** Resolves when the connector reports the listener on this path, past or future. */
  async isReached(by: 'udp' | 'relay'): Promise<void> {
    await this.connector.event('peer', ({ status, path }) => status === 'online' && path === by);
  }

  async stop(): Promise<void> {
    await Promise.all([this.connector.stop('SIGKILL'), this.listener.stop('SIGKILL')]);
  }
}
