import { TunnelError } from '../../core/errors.js';
import { formatBootstrapLine, type NodeEntry, parseNodeEntries } from '../../network/bootstrap_list.js';
import { MAX_NODES_BYTES, saveNodes } from '../../state/saved_nodes.js';
import { type NodeList, nodeListOf } from '../options/bootstrap_nodes.js';
import { type NodeListFlags, type OutputFlags, usage } from '../options/flags.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { PROXY_VARIABLE } from '../process/secret_variables.js';
import type { Context } from '../service/serve.js';
import { download } from './nodes_download.js';

export interface NodesFlags extends OutputFlags, NodeListFlags {
  readonly state?: string;
  readonly update?: boolean;
  /** Where the list is fetched from. */
  readonly url?: string;
}

const DEFAULT_URL = 'https://nodes.tox.chat/json';

/** Shows the bootstrap nodes that are used, and from where they are; first refreshes the list when asked to. */
export async function nodesCommand(context: Context, flags: NodesFlags): Promise<ExitCode> {
  if (flags.update === true) await update(context, flags);
  else if (flags.url !== undefined) throw usage('--url goes with --update');
  const { nodes, origin } = await nodeListOf(context, flags);
  const lines = nodes.map(formatBootstrapLine);
  context.reporter.event({ event: 'nodes', origin: origin.kind, from: fromOf(origin), nodes: lines });
  context.reporter.result(lines.join('\n'));
  return EXIT.ok;
}

async function update({ io, reporter }: Context, flags: NodesFlags): Promise<void> {
  const { url = DEFAULT_URL, bootstrap, nodes } = flags;
  if (bootstrap !== undefined || nodes !== undefined)
    throw usage('--update is about the list that is used without --bootstrap and --nodes');
  // Who has a proxy for all that leaves this machine is not to be shown to a server without it.
  if ((io.takeEnv(PROXY_VARIABLE) ?? '') !== '')
    throw usage(
      `${PROXY_VARIABLE} is set, and a list is fetched through no proxy; fetch it by another program and name it by --nodes FILE, or unset the variable for this call`,
    );
  const folder = flags.state ?? (await io.stateFolder());
  try {
    const entries = upOf(parseNodeEntries(await download(url, MAX_NODES_BYTES), url), url);
    await saveNodes(folder, { url, updated: io.wallClock().toISOString(), nodes: entries });
  } catch (error) {
    if (!TunnelError.is(error) || error.code === 'ERR_USAGE') throw error;
    const { origin } = await nodeListOf({ io, reporter }, flags);
    throw new TunnelError(
      'ERR_NODES_UPDATE',
      `${bare(error)}. What was used stays in use: ${fromOf(origin)}`,
      {
        cause: error,
      },
    );
  }
}

/** Those that the list's keeper did not find to be away. */
function upOf(entries: readonly NodeEntry[], url: string): NodeEntry[] {
  const up = entries.filter(({ status_udp, status_tcp }) => status_udp !== false || status_tcp !== false);
  if (up.length === 0) throw new TunnelError('ERR_NODES_UPDATE', `${url}: it says that every node is away`);
  return up;
}

/** What it says without the sentence of its code, which ours has too. */
const bare = ({ message }: TunnelError): string => message.replace(/^[^:]*: /, '');

function fromOf(origin: NodeList['origin']): string {
  switch (origin.kind) {
    case 'named':
      return 'the options';
    case 'saved':
      return `the list of ${origin.updated} from ${origin.url}, in ${origin.file}`;
    case 'bundled':
      return `the list of ${origin.seen} that comes with this program`;
  }
}
