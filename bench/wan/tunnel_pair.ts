import { CliProcess } from '../../test/support/cli_process.js';
import { type Usage, usageOf } from '../process_usage.js';
import type { Host, WanHosts } from './hosts.js';

const NODE_PORT = '33445';

/**
 * A bootstrap node and a listener on host b and a connector on host a, each in a process as users start it.
 */
export class TunnelPair {
  /** Port on the loopback of host a that leads to the target. */
  readonly port: number;
  readonly listener: CliProcess;
  readonly connector: CliProcess;
  readonly #processes: readonly CliProcess[];

  private constructor(
    processes: readonly CliProcess[],
    listener: CliProcess,
    connector: CliProcess,
    port: number,
  ) {
    this.#processes = processes;
    this.listener = listener;
    this.connector = connector;
    this.port = port;
  }

  /**
   * Resolves when the tunnel is connected.
   *
   * @param program main.js of the build to run
   * @param targetPort on the loopback of host b
   * @param verbose options such as `-vv`, for both ends
   */
  static async start(
    hosts: WanHosts,
    program: string,
    targetPort: number,
    verbose: readonly string[] = [],
  ): Promise<TunnelPair> {
    const processes: CliProcess[] = [];
    const start = (host: Host, ...args: readonly string[]): CliProcess => {
      const command = [...hosts.on(host), process.execPath, program];
      const common = ['--ephemeral', '--no-lan', '--json'];
      const started = CliProcess.start([...args, ...common], { program: command });
      processes.push(started);
      return started;
    };
    try {
      const node = start(
        'b',
        'node',
        '--port',
        NODE_PORT,
        '--tcp-port',
        NODE_PORT,
        '--bind',
        hosts.address('b'),
      );
      const { bootstrap } = await node.event('node');
      const both = ['--bootstrap', String(bootstrap), ...verbose];
      const listener = start('b', 'listen', '--expose', String(targetPort), ...both);
      const { ticket } = await listener.event('ready');
      const forward = `0:127.0.0.1:${targetPort}`;
      const connector = start('a', 'connect', String(ticket), '-L', forward, ...both);
      await connector.event('peer', ({ status, path }) => status === 'online' && path === 'udp');
      const { local } = await connector.event('forward');
      const port = Number(/:(\d+)$/.exec(String(local))?.[1]);
      return new TunnelPair(processes, listener, connector, port);
    } catch (error) {
      await stopAll(processes);
      throw error;
    }
  }

  /** Returns what the listener and the connector have used so far. */
  usage(): { readonly listener: Usage; readonly connector: Usage } {
    return { listener: usageOf(pidOf(this.listener)), connector: usageOf(pidOf(this.connector)) };
  }

  async stop(): Promise<void> {
    await stopAll(this.#processes);
  }
}

/** Kills them at once: a bench has no streams to end gracefully. */
async function stopAll(processes: readonly CliProcess[]): Promise<void> {
  await Promise.all(processes.map((process) => process.stop('SIGKILL')));
}

function pidOf({ child }: CliProcess): number {
  if (child.pid === undefined) throw new Error('a process of the tunnel did not start');
  return child.pid;
}
