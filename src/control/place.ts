import { createHash } from 'node:crypto';
import { resolve } from 'node:path';

/** Name of the socket in the state folder. */
export const SOCKET_NAME = 'listener.sock';

/** The named pipe of a state folder on Windows, which knows no sockets in folders. */
export function pipeName(folder: string): string {
  const digest = createHash('sha256').update(resolve(folder).toLowerCase()).digest('hex').slice(0, 32);
  return `\\\\.\\pipe\\tox-wasm-tunnel-${digest}`;
}
