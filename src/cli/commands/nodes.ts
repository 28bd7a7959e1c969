import { Option } from 'commander';
import { TunnelError } from '../../core/errors.js';
import { formatBootstrapLine, type NodeEntry, parseNodeEntries } from '../../network/bootstrap_list.js';
import { MAX_NODES_BYTES, saveNodes } from '../../state/saved_nodes.js';
import { type Context, defineCommand } from '../command.js';
import { type NodeList, nodeListOf } from '../options/bootstrap_nodes.js';
import { nodeList, output, stateFolder } from '../options/common_options.js';
import type { NodeListFlags, OutputFlags } from '../options/flags.js';
import { usage } from '../options/usage.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { PROXY_VARIABLE } from '../process/secret_variables.js';
import { download } from './nodes_download.js';

interface NodesFlags extends OutputFlags, NodeListFlags {
  readonly state?: string;
  readonly update?: boolean;
  readonly url?: string;
}

const DEFAULT_URL = 'https://nodes.tox.chat/json';

export const nodes = defineCommand<NodesFlags>({
  name: 'nodes',
  group: 'Network',
  summary: 'Show the bootstrap nodes in use, or update the public list',
  stateOf: ['listen', 'connect'],
  options: [
    new Option('--update', 'download a new list of public nodes; on failure, the old one is kept'),
    new Option('--url <URL>', `download the list from here (default: ${DEFAULT_URL})`),
    ...nodeList(),
    stateFolder(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel nodes                      show the nodes that tunnels join through
  $ tox-wasm-tunnel nodes --update             download a new list from https://nodes.tox.chat/json
  $ tox-wasm-tunnel nodes --update --url https://example.org/nodes.json

A new list replaces the old one only when all of it is valid.`,
  run: (context, { flags }) => runNodes(context, flags),
});

async function runNodes(context: Context, flags: NodesFlags): Promise<ExitCode> {
  if (flags.update === true) await update(context, flags);
  else if (flags.url !== undefined) throw usage('--url needs --update');
  const { nodes: list, origin } = await nodeListOf(context, flags);
  const lines = list.map(formatBootstrapLine);
  context.reporter.event({ event: 'nodes', origin: origin.kind, from: fromOf(origin), nodes: lines });
  context.reporter.result(lines.join('\n'));
  return EXIT.ok;
}

async function update({ io, reporter }: Context, flags: NodesFlags): Promise<void> {
  const { url = DEFAULT_URL, bootstrap, nodes: files } = flags;
  if (bootstrap !== undefined || files !== undefined)
    throw usage('--update cannot be combined with --bootstrap and --nodes, which replace the public list');
  // The download would bypass the proxy and show the user's address to the server.
  if ((io.takeEnv(PROXY_VARIABLE) ?? '') !== '')
    throw usage(
      `${PROXY_VARIABLE} is set, but the download would not use the proxy; download the list with another program and pass it with --nodes FILE, or unset the variable for this call`,
    );
  const folder = flags.state ?? (await io.stateFolder());
  try {
    const entries = upOf(parseNodeEntries(await download(url, MAX_NODES_BYTES), url), url);
    await saveNodes(folder, { url, updated: io.wallClock().toISOString(), nodes: entries }, io.timers);
  } catch (error) {
    if (!TunnelError.is(error) || error.code === 'ERR_USAGE') throw error;
    const { origin } = await nodeListOf({ io, reporter }, flags);
    throw new TunnelError('ERR_NODES_UPDATE', `${bare(error)}. Still in use: ${fromOf(origin)}`, {
      cause: error,
    });
  }
}

/** Drops nodes that the list reports as offline. */
function upOf(entries: readonly NodeEntry[], url: string): NodeEntry[] {
  const up = entries.filter(({ status_udp, status_tcp }) => status_udp !== false || status_tcp !== false);
  if (up.length === 0) throw new TunnelError('ERR_NODES_UPDATE', `${url}: all nodes in the list are offline`);
  return up;
}

/** The message without the sentence of the error code, which the new error adds itself. */
const bare = ({ message }: TunnelError): string => message.replace(/^[^:]*: /, '');

function fromOf(origin: NodeList['origin']): string {
  switch (origin.kind) {
    case 'named':
      return 'the options';
    case 'saved':
      return `the list of ${origin.updated} from ${origin.url}, saved in ${origin.file}`;
    case 'bundled':
      return `the bundled list of ${origin.seen}`;
  }
}
