import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { basename, dirname } from 'node:path';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import { listenAt, openSocketFile, socketFileState } from '../../core/socket_file.js';
import { foreignPath } from '../../rules/endpoint.js';

/**
 * Lets a server listen at the path of a UNIX socket, which this user alone may use (mode 0600), or of a
 * Windows named pipe. A socket that a dead process left is replaced. That is looked at first and done
 * then: of two processes that start in the same moment the later one has the path.
 *
 * @param path absolute and normalised
 * @returns takes the socket away; the server is the caller's to close
 * @throws {TunnelError} ERR_LISTEN
 */
export async function listenAtPath(path: string, server: Server): Promise<() => void> {
  const foreign = foreignPath(path);
  if (foreign !== undefined) throw failed(path, `cannot be used here: ${foreign}`);
  try {
    if (process.platform === 'win32') {
      await listenAt(server, path);
      return () => {};
    }
    return await listenAtFile(path, server);
  } catch (error) {
    if (TunnelError.is(error) && error.code === 'ERR_LISTEN') throw error;
    throw failed(path, why(error), error);
  }
}

async function listenAtFile(path: string, server: Server): Promise<() => void> {
  const folder = dirname(path);
  const name = basename(path);
  switch (await socketFileState(folder, name)) {
    case 'answered':
      throw failed(path, 'is in use by another program; write another path');
    case 'closed-to-us':
      throw failed(path, 'is a socket of somebody else; write another path');
    case 'no-socket':
      throw failed(path, 'is no socket and was left as it is; move it away, or write another path');
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

function why(error: unknown): string {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined)
    return `cannot be made: there is ${exhausted}; close connections, and try again`;
  const code = errnoOf(error) ?? 'failed';
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `cannot be made, as its folder is not there (${code}); make the folder first`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `is not for this user to make (${code}); write a path in a folder of yours`;
    case 'EADDRINUSE':
      return 'is in use by another program; write another path';
    default:
      return `cannot be used (${code}); write another path`;
  }
}

function failed(path: string, text: string, cause?: unknown): TunnelError {
  return new TunnelError('ERR_LISTEN', `${path} ${text}`, cause === undefined ? {} : { cause });
}
