import { formatBootstrapLine } from '../../network/bootstrap_list.js';
import { namedNodes } from '../options/bootstrap_nodes.js';
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
import { type Context, serve } from '../service/serve.js';

export interface NodeFlags extends OutputFlags, StateFlags, NetworkFlags {
  readonly port?: string;
  readonly tcpPort?: string;
}

/** Runs a bootstrap node and TCP relay: a network of one's own, or one more door to a network. */
export async function nodeCommand(context: Context, flags: NodeFlags): Promise<ExitCode> {
  const { io, reporter } = context;
  reporter.logEvents();
  const options = {
    ...networkOf(flags),
    ...(flags.port === undefined ? {} : { port: portOf(flags.port, '--port') }),
    ...(flags.tcpPort === undefined ? {} : { tcpPort: portOf(flags.tcpPort, '--tcp-port') }),
    // No public nodes: a private node stays private unless it is told otherwise.
    bootstrap: await namedNodes(flags),
    logger: reporter.logger,
  };
  const passphrase = await passphraseOf(flags, io);
  const api = await io.loadApi();
  return serve(context, {
    role: 'node',
    stateFolder: await stateFolderOf(flags, io),
    passphrase,
    onBusy: 'fail',
    start: (identity, signal) =>
      api.node({ ...options, ...(identity === undefined ? {} : { identity }), signal }),
    up: async ({ publicKey, udpPort, tcpPort }) => {
      const key = Buffer.from(publicKey, 'hex');
      const hosts = hostsOf(flags.bind, io.localAddresses());
      const [bootstrap = '', ...others] = hosts.map((host) =>
        formatBootstrapLine({ host, port: udpPort, key }),
      );
      reporter.result(bootstrap);
      reporter.event({ event: 'node', bootstrap, all: [bootstrap, ...others], udpPort, tcpPort });
    },
  });
}

/** Loopback, for a machine without any other address. */
const LOOPBACK = '127.0.0.1';

/** Where the node is reached, the likeliest first; at least one. */
export function hostsOf(bind: string | undefined, addresses: readonly LocalAddress[]): string[] {
  if (bind !== undefined && bind !== '0.0.0.0' && bind !== '::') return [bind];
  const reachable = addresses.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  const of = (family: LocalAddress['family']) =>
    reachable.filter((each) => each.family === family).map(({ address }) => address);
  const hosts = [...of('IPv4'), ...(bind === '0.0.0.0' ? [] : of('IPv6'))];
  return hosts[0]?.includes('.') === true ? hosts : [LOOPBACK, ...hosts];
}
