import { join } from 'node:path';
import * as v from 'valibot';
import { systemTimers, type Timers } from '../core/clock.js';
import { errnoOf, TunnelError } from '../core/errors.js';
import { type NodeEntry, parseNodeEntries } from '../network/bootstrap_list.js';
import { takeBriefLock } from './brief_lock.js';
import { readRegularFile, replaceStateFile } from './state_file.js';
import { checkFolder, closedFolder, inFolder } from './state_folder.js';

/** Maximum length of a list, in bytes; the public list is 30 kB. */
export const MAX_NODES_BYTES = 1024 * 1024;

const FILE_NAME = 'nodes.json';
const KIND = 'tox-wasm-tunnel nodes';

/** A downloaded list of bootstrap nodes, and its source. */
export interface SavedNodes {
  readonly url: string;
  /** ISO 8601, UTC. */
  readonly updated: string;
  readonly nodes: readonly NodeEntry[];
}

const HeadSchema = v.object({
  version: v.literal(1),
  kind: v.literal(KIND),
  url: v.string(),
  updated: v.string(),
});

export const nodesFileOf = (folder: string): string => join(folder, FILE_NAME);

/**
 * Reads the list of bootstrap nodes that was saved in a state folder; undefined when there is none.
 *
 * @throws {TunnelError} ERR_NODES_INVALID for a file that is damaged or of a newer version, ERR_STATE_INVALID for
 *   anything but a file, ERR_STATE_IO
 */
export async function readSavedNodes(folder: string): Promise<SavedNodes | undefined> {
  const file = nodesFileOf(folder);
  const text = await inFolder(folder, async () => {
    try {
      await checkFolder(folder);
      return await readRegularFile(file, MAX_NODES_BYTES);
    } catch (error) {
      // ERR_ACCESS_DENIED comes from Node's permission model: a folder that we may not read holds no list for us.
      if (['ENOENT', 'ENOTDIR', 'ERR_ACCESS_DENIED'].includes(errnoOf(error) ?? '')) return undefined;
      throw error;
    }
  });
  if (text === undefined) return undefined;
  const nodes = parseNodeEntries(text, file);
  const head = v.safeParse(HeadSchema, JSON.parse(text));
  if (!head.success)
    throw new TunnelError(
      'ERR_NODES_INVALID',
      `${file}: this version did not save this list; delete it, or download it again with nodes --update`,
    );
  return { url: head.output.url, updated: head.output.updated, nodes };
}

/**
 * Replaces the saved list, all of it or nothing. Waits briefly for other processes that do the same.
 *
 * @throws {TunnelError} ERR_STATE_INVALID, ERR_STATE_IO, ERR_STATE_BUSY
 */
export async function saveNodes(
  folder: string,
  { url, updated, nodes }: SavedNodes,
  timers: Timers = systemTimers,
): Promise<void> {
  await inFolder(folder, async () => {
    await closedFolder(folder);
    const text = JSON.stringify({ version: 1, kind: KIND, url, updated, nodes }, undefined, 2);
    const lock = await takeBriefLock(folder, 'nodes', timers);
    try {
      await replaceStateFile(nodesFileOf(folder), `${text}\n`);
    } finally {
      await lock.release();
    }
  });
}
