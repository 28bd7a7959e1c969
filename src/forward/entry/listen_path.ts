import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { basename, dirname } from 'node:path';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import { listenAt, openSocketFile, socketFileState } from '../../core/socket_file.js';
import { foreignPath } from '../../rules/endpoint.js';

/**
 * Has a server listen on a UNIX socket that only this user may use (mode 0600), or on a Windows named pipe.
 * Replaces a socket that a dead process left behind. The check and the replacement are separate steps, so
 * when two processes start at the same moment, the later one gets the path.
 *
 * @param path absolute and normalised
 * @returns removes the socket file; closing the server is the caller's job
 * @throws {TunnelError} ERR_LISTEN
 */
export async function listenOnPath(path: string, server: Server): Promise<() => void> {
  const foreign = foreignPath(path);
  if (foreign !== undefined) throw failed(path, `cannot be used here: ${foreign}`);
  try {
    if (process.platform === 'win32') {
      await listenAt(server, path);
      return () => {};
    }
    return await listenOnFile(path, server);
  } catch (error) {
    if (TunnelError.is(error) && error.code === 'ERR_LISTEN') throw error;
    throw failed(path, failureText(error), error);
  }
}

async function listenOnFile(path: string, server: Server): Promise<() => void> {
  const folder = dirname(path);
  const name = basename(path);
  switch (await socketFileState(folder, name)) {
    case 'answered':
      throw failed(path, 'is in use by another program; choose another path');
    case 'closed-to-us':
      throw failed(path, 'is a socket of another user; choose another path');
    case 'no-socket':
      throw failed(path, 'exists and is not a socket; move it away, or choose another path');
    case 'free':
    case 'stale':
  }
  const draftFolder = await mkdtemp(`${path}.`);
  try {
    return await openSocketFile({ folder, name, draftFolder }, server);
  } finally {
    await rm(draftFolder, { recursive: true, force: true });
  }
}

function failureText(error: unknown): string {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined) {
    return `cannot be created: there is ${exhausted}; close some connections and try again`;
  }
  const code = errnoOf(error) ?? 'failed';
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `cannot be created: its folder does not exist (${code}); create the folder first`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `cannot be created: permission denied (${code}); choose a path in a folder of your own`;
    case 'EADDRINUSE':
      return 'is in use by another program; choose another path';
    default:
      return `cannot be created (${code}); choose another path`;
  }
}

function failed(path: string, text: string, cause?: unknown): TunnelError {
  return new TunnelError('ERR_LISTEN', `${path} ${text}`, cause === undefined ? {} : { cause });
}
