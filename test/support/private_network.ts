/** A private Tox network on the loopback: one bootstrap node, listeners and connectors, each in a process. */
import type { TestContext } from 'node:test';
import { type CliOptions, CliProcess } from './cli_process.js';

/** Options to stay on the loopback and report in JSON. */
export const LOOPBACK = ['--bind', '127.0.0.1', '--no-lan', '--json'];

export interface Tunnel {
  readonly listener: CliProcess;
  readonly connector: CliProcess;
  /** Local address of each forward, in the order of the request. */
  readonly locals: readonly { readonly host: string; readonly port: number }[];
  readonly toxId: string;
  readonly ticket: string;
}

export class PrivateNetwork {
  readonly node: CliProcess;
  readonly bootstrap: string;
  readonly #processes: CliProcess[];
  readonly #options: CliOptions;

  private constructor(node: CliProcess, bootstrap: string, processes: CliProcess[], options: CliOptions) {
    this.node = node;
    this.bootstrap = bootstrap;
    this.#processes = processes;
    this.#options = options;
  }

  /** @param options how to run every process of this network @param ports of the bootstrap node */
  static async start(
    options: CliOptions = {},
    ports = ['--port', '0', '--tcp-port', '0'],
  ): Promise<PrivateNetwork> {
    const args = ['node', ...ports, '--ephemeral', ...LOOPBACK];
    const node = CliProcess.start(args, options);
    const { bootstrap } = await node.event('node');
    return new PrivateNetwork(node, String(bootstrap), [node], options);
  }

  /** Returns the same network for processes that run in another way; `stop` of either ends all. */
  withProgram(program: readonly string[]): PrivateNetwork {
    return new PrivateNetwork(this.node, this.bootstrap, this.#processes, { ...this.#options, program });
  }

  /**
   * Returns the same network for one test: what the test starts through it ends with the test. An idle process takes a
   * few percent of a core, so those of all tests of a file would slow down the rest of the run.
   */
  during(test: TestContext): PrivateNetwork {
    const here = new PrivateNetwork(this.node, this.bootstrap, [], this.#options);
    test.after(() => here.stop());
    return here;
  }

  /** Starts any command, joined to this network. */
  start(...args: readonly string[]): CliProcess {
    const started = CliProcess.start([...args, '--bootstrap', this.bootstrap, ...LOOPBACK], this.#options);
    this.#processes.push(started);
    return started;
  }

  /** Starts a listener and waits until it is ready. @param expose the values of `--expose` */
  async listen(
    expose: readonly string[],
    ...args: readonly string[]
  ): Promise<Pick<Tunnel, 'listener' | 'toxId' | 'ticket'>> {
    const listener = this.start(
      'listen',
      ...(args.includes('--state') ? [] : ['--ephemeral']),
      ...expose.flatMap((rule) => ['--expose', rule]),
      ...args,
    );
    const { toxId, ticket } = await listener.event('ready');
    return { listener, toxId: String(toxId), ticket: String(ticket) };
  }

  /** Starts a connector and waits until it is connected. @param forwards the values of `-L` */
  async connect(
    ticket: string,
    forwards: readonly string[],
    ...args: readonly string[]
  ): Promise<Pick<Tunnel, 'connector' | 'locals'>> {
    const connector = this.start(
      'connect',
      ticket,
      '--ephemeral',
      ...forwards.flatMap((forward) => ['-L', forward]),
      ...args,
    );
    await connector.event('peer', (event) => event['status'] === 'online');
    return { connector, locals: await localsOf(connector, forwards.length) };
  }

  /** Starts a connected listener and connector. @param ports the targets on the loopback, one forward each */
  async tunnel(ports: readonly number[], ...connectArgs: readonly string[]): Promise<Tunnel> {
    const { listener, toxId, ticket } = await this.listen(ports.map(String));
    const { connector, locals } = await this.connect(
      ticket,
      ports.map((port) => `0:127.0.0.1:${port}`),
      ...connectArgs,
    );
    return { listener, connector, locals, toxId, ticket };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()));
  }
}

/**
 * Returns the local addresses of a connector's forwards, in the order of the request, once `count` of them
 * listen.
 */
export async function localsOf(connector: CliProcess, count = 1): Promise<Tunnel['locals']> {
  let open = 0;
  if (count > 0) await connector.event('forward', () => ++open >= count);
  return connector.events
    .filter((event) => event.event === 'forward')
    .map((event) => {
      const local = String(event['local']);
      const colon = local.lastIndexOf(':');
      return { host: local.slice(0, colon), port: Number(local.slice(colon + 1)) };
    });
}
