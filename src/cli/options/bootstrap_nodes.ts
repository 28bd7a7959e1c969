import { TunnelError } from '../../core/errors.js';
import type { BootstrapAddress } from '../../core/tox_network.js';
import { nodesOf, parseBootstrapLine, parseNodesFile } from '../../network/bootstrap_list.js';
import { MAX_NODES_BYTES, nodesFileOf, readSavedNodes } from '../../state/saved_nodes.js';
import type { Reporter } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';
import type { NodeListFlags } from './flags.js';
import { readBoundedFile } from './read_bounded.js';

/** The nodes that the options name, first the single ones; empty when they name none. */
export async function namedNodes({ bootstrap = [], nodes = [] }: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = bootstrap.map(parseBootstrapLine);
  for (const file of nodes) {
    const list = await readBoundedFile(file, { code: 'ERR_NODES_INVALID', maxBytes: MAX_NODES_BYTES });
    named.push(...parseNodesFile(list.toString('utf8'), file));
  }
  return named;
}

/** Nodes, and where they are from. */
export interface NodeList {
  readonly nodes: readonly BootstrapAddress[];
  readonly origin:
    | { readonly kind: 'named' }
    /** By `nodes --update`. `updated`: ISO 8601, UTC. */
    | { readonly kind: 'saved'; readonly file: string; readonly url: string; readonly updated: string }
    /** `seen`: the day, as 2026-06-08, on which they were up. */
    | { readonly kind: 'bundled'; readonly seen: string };
}

/**
 * The nodes that the options name, or else public ones: never both, so that private stays private. The
 * public ones are the list that was saved by `nodes --update`, or else the bundled one.
 */
export async function nodeListOf(
  { io, reporter }: { readonly io: CliIo; readonly reporter: Reporter },
  flags: NodeListFlags & { readonly state?: string },
): Promise<NodeList> {
  const named = await namedNodes(flags);
  if (named.length > 0) return { nodes: named, origin: { kind: 'named' } };
  const folder = flags.state ?? (await io.stateFolder());
  try {
    const saved = await readSavedNodes(folder);
    if (saved !== undefined) {
      const { url, updated } = saved;
      return {
        nodes: nodesOf(saved.nodes),
        origin: { kind: 'saved', file: nodesFileOf(folder), url, updated },
      };
    }
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    reporter.people(`The bundled list of nodes is used: ${error.message}`);
  }
  const { PUBLIC_NODES_SEEN, publicNodes } = await import('../../network/public_nodes.js');
  return { nodes: publicNodes(), origin: { kind: 'bundled', seen: PUBLIC_NODES_SEEN } };
}

/** {@link nodeListOf}, without where they are from. */
export async function namedOrPublicNodes(
  ...args: Parameters<typeof nodeListOf>
): Promise<readonly BootstrapAddress[]> {
  return (await nodeListOf(...args)).nodes;
}
