import { TunnelError } from '../../core/errors.js';
import { withoutSecrets } from '../../core/secret_text.js';
import type { BootstrapAddress } from '../../core/tox_network.js';
import { nodesOf, parseBootstrapLine, parseNodesFile } from '../../network/bootstrap_list.js';
import { MAX_NODES_BYTES, nodesFileOf, readSavedNodes } from '../../state/saved_nodes.js';
import type { Reporter } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';
import type { NodeListFlags, StateFlags } from './flags.js';
import { readValues } from './named_value.js';
import { readBoundedFile } from './read_bounded.js';

/** Returns the nodes of `--bootstrap` and then those of `--nodes`; may be empty. */
export async function namedNodes({ bootstrap = [], nodes = [] }: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = readValues('--bootstrap', bootstrap, parseBootstrapLine);
  for (const file of nodes) {
    const list = await readBoundedFile(file, { code: 'ERR_NODES_INVALID', maxBytes: MAX_NODES_BYTES });
    named.push(...parseNodesFile(list.toString('utf8'), file));
  }
  return named;
}

/** Bootstrap nodes and their origin. */
export interface NodeList {
  readonly nodes: readonly BootstrapAddress[];
  readonly origin:
    | { readonly kind: 'named' }
    /** Saved by `nodes --update`. `updated` is ISO 8601, UTC. */
    | { readonly kind: 'saved'; readonly file: string; readonly url: string; readonly updated: string }
    /** `seen` is the day on which the nodes were up, such as 2026-06-08. */
    | { readonly kind: 'bundled'; readonly seen: string };
}

/**
 * Returns the nodes that the options name, or else public ones. Never both, so that a private network stays
 * private. The public ones come from the list saved by `nodes --update`, or else from the bundled list.
 */
export async function nodeListOf(
  { io, reporter }: { readonly io: CliIo; readonly reporter: Reporter },
  flags: NodeListFlags & Pick<StateFlags, 'state' | 'ephemeral'>,
): Promise<NodeList> {
  const named = await namedNodes(flags);
  if (named.length > 0) return { nodes: named, origin: { kind: 'named' } };
  try {
    const folder = flags.state ?? (await io.stateFolder());
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
    // A run that saves nothing needs no folder.
    const isExpected = flags.ephemeral === true && error.code === 'ERR_USAGE';
    if (!isExpected) reporter.people(`Using the bundled list of nodes: ${withoutSecrets(error.message)}`);
  }
  const { PUBLIC_NODES_SEEN, publicNodes } = await import('../../network/public_nodes.js');
  return { nodes: publicNodes(), origin: { kind: 'bundled', seen: PUBLIC_NODES_SEEN } };
}

/** {@link nodeListOf} without the origin. */
export async function namedOrPublicNodes(
  ...args: Parameters<typeof nodeListOf>
): Promise<readonly BootstrapAddress[]> {
  return (await nodeListOf(...args)).nodes;
}
