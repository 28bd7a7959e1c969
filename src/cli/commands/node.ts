import { Option } from 'commander';
import { formatBootstrapLine } from '../../network/bootstrap_list.js';
import { type Context, defineCommand } from '../command.js';
import { namedNodes } from '../options/bootstrap_nodes.js';
import { binding, nodeList, output, state } from '../options/common_options.js';
import {
  type NetworkFlags,
  networkOf,
  type OutputFlags,
  portOf,
  type StateFlags,
  stateFolderOf,
} from '../options/flags.js';
import { passphraseOf } from '../options/passphrase.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { LocalAddress } from '../process/io.js';
import type { BootstrapNodeHandle } from '../process/library.js';
import { needRestart } from '../service/reload.js';
import { serve } from '../service/serve.js';

interface NodeFlags extends OutputFlags, StateFlags, NetworkFlags {
  readonly port?: string;
  readonly tcpPort?: string;
}

export const node = defineCommand<NodeFlags>({
  name: 'node',
  group: 'Network',
  summary: 'Run a bootstrap node and TCP relay for a private network',
  options: [
    new Option('--port <N>', 'UDP port (default: 33445, or the next free one to 33545)').helpGroup(
      'Network:',
    ),
    new Option('--tcp-port <N>', 'TCP port of the relay (default: the UDP port)').helpGroup('Network:'),
    ...nodeList(),
    ...binding(),
    ...state(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel node                       print HOST:PORT:KEY, the argument for --bootstrap
  $ tox-wasm-tunnel node --port 33445 --tcp-port 443
  $ tox-wasm-tunnel node --bind 192.0.2.1 --no-lan`,
  run: (context, { flags }) => runNode(context, flags),
});

async function runNode(context: Context, flags: NodeFlags): Promise<ExitCode> {
  const { io, reporter } = context;
  reporter.logEvents();
  const options = {
    ...networkOf(flags),
    ...(flags.port === undefined ? {} : { port: portOf(flags.port, '--port') }),
    ...(flags.tcpPort === undefined ? {} : { tcpPort: portOf(flags.tcpPort, '--tcp-port') }),
    // No public nodes: a private network stays private unless the user names other nodes.
    bootstrap: await namedNodes(flags),
    logger: reporter.logger,
  };
  const passphrase = await passphraseOf(flags, io);
  const library = await io.loadLibrary();
  return serve<BootstrapNodeHandle>(context, {
    role: 'node',
    stateFolder: await stateFolderOf(flags, io),
    passphrase,
    onBusy: 'fail',
    start: (identity, signal) =>
      library.createBootstrapNode({ ...options, ...(identity === undefined ? {} : { identity }), signal }),
    begin: ({ publicKey, udpPort, tcpPort }) => ({
      reload: async (next) => ({ restart: needRestart(flags, next.flags, []) }),
      up: async () => {
        const key = Buffer.from(publicKey, 'hex');
        const hosts = hostsOf(flags.bind, io.localAddresses());
        const [bootstrap = '', ...others] = hosts.map((host) =>
          formatBootstrapLine({ host, port: udpPort, key }),
        );
        reporter.result(bootstrap);
        reporter.event({ event: 'node', bootstrap, all: [bootstrap, ...others], udpPort, tcpPort });
      },
    }),
  });
}

/** The address of a machine without a network. */
const LOOPBACK = '127.0.0.1';

/** Addresses at which others reach the node, the most likely one first. Never empty. */
export function hostsOf(bind: string | undefined, addresses: readonly LocalAddress[]): string[] {
  if (bind !== undefined && bind !== '0.0.0.0' && bind !== '::') return [bind];
  const reachable = addresses.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  const of = (family: LocalAddress['family']) =>
    reachable.filter((each) => each.family === family).map(({ address }) => address);
  const hosts = [...of('IPv4'), ...(bind === '0.0.0.0' ? [] : of('IPv6'))];
  return hosts[0]?.includes('.') === true ? hosts : [LOOPBACK, ...hosts];
}
