import { type BootstrapAddress, parseBootstrapLine, parseNodesFile } from '../node/bootstrap_list.js';
import type { NodeListFlags } from './flags.js';
import { readBoundedFile } from './read_bounded.js';

/** The public list has 30 kB. */
const MAX_FILE_BYTES = 1024 * 1024;

/** The nodes that the options name, first the single ones; empty when they name none. */
export async function namedNodes({ bootstrap = [], nodes = [] }: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = bootstrap.map(parseBootstrapLine);
  for (const file of nodes) {
    const list = await readBoundedFile(file, { code: 'ERR_NODES_INVALID', maxBytes: MAX_FILE_BYTES });
    named.push(...parseNodesFile(list.toString('utf8'), file));
  }
  return named;
}

/** The nodes that the options name, or else the public ones: never both, so that private stays private. */
export async function namedOrPublicNodes(flags: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = await namedNodes(flags);
  if (named.length > 0) return named;
  const { publicNodes } = await import('../node/public_nodes.js');
  return publicNodes();
}
