import { createReadStream } from 'node:fs';
import { TunnelError } from '../core/errors.js';
import { type BootstrapAddress, parseBootstrapLine, parseNodesFile } from '../node/bootstrap_list.js';
import type { NodeListFlags } from './flags.js';

/** The public list has 30 kB. */
const MAX_FILE_BYTES = 1024 * 1024;

/** The nodes that the options name, first the single ones; empty when they name none. */
export async function namedNodes({ bootstrap = [], nodes = [] }: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = bootstrap.map(parseBootstrapLine);
  for (const file of nodes) named.push(...parseNodesFile(await readBounded(file), file));
  return named;
}

/** The nodes that the options name, or else the public ones: never both, so that private stays private. */
export async function namedOrPublicNodes(flags: NodeListFlags): Promise<BootstrapAddress[]> {
  const named = await namedNodes(flags);
  if (named.length > 0) return named;
  const { publicNodes } = await import('../node/public_nodes.js');
  return publicNodes();
}

async function readBounded(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      // A stream without an encoding gives buffers.
      const buffer = chunk as Buffer;
      chunks.push(buffer);
      bytes += buffer.length;
      if (bytes > MAX_FILE_BYTES) break;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TunnelError('ERR_NODES_INVALID', `${file}: it cannot be read: ${why}`, { cause: error });
  }
  if (bytes > MAX_FILE_BYTES) {
    throw new TunnelError('ERR_NODES_INVALID', `${file}: it has more than ${MAX_FILE_BYTES} bytes`);
  }
  return Buffer.concat(chunks).toString('utf8');
}
