/**
 * Streams whose bytes each have their own pattern, so that a piece that strays into another stream shows.
 * A connection starts with u32 direction (0 down, 1 up), u32 index and u32 bytes, all big-endian.
 */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { dialLoopback, listenOnLoopback } from '../../test/support/loopback.js';
import { patternDigest, patternPieces } from '../../test/support/pattern.js';
import { onRequest, roomOrEnd } from '../request.js';
import type { Direction } from '../target.js';

const REQUEST_BYTES = 12;
/** Backlog of the listening socket: all connections come at once. */
const LISTEN_BACKLOG = 4_096;

const seedOf = (index: number): string => `stream ${index}`;

/** Serves on the loopback until the process ends; returns the port. */
export async function serveMany(): Promise<number> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  onRequest(server, REQUEST_BYTES, (socket, request) => {
    const [way, index, bytes] = [0, 4, 8].map((at) => request.readUInt32BE(at));
    if (way === 0) void sendPattern(socket, index ?? 0, bytes ?? 0);
    else void digest(socket).then((sha256) => socket.end(sha256));
  });
  return await listenOnLoopback(server, LISTEN_BACKLOG);
}

/** Transfers the bytes of one stream and checks them. @throws when a byte is wrong or missing */
export async function moveOne(
  port: number,
  direction: Direction,
  index: number,
  bytes: number,
): Promise<void> {
  const socket = dialLoopback(port);
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt32BE(direction === 'down' ? 0 : 1, 0);
  request.writeUInt32BE(index, 4);
  request.writeUInt32BE(bytes, 8);
  socket.write(request);
  const right = patternDigest(seedOf(index), bytes);
  let sha256: string;
  if (direction === 'down') {
    sha256 = await digest(socket);
    socket.end();
  } else {
    const answer = text(socket);
    await sendPattern(socket, index, bytes);
    sha256 = await answer;
  }
  if (sha256 !== right)
    throw new Error(`stream ${index} ${direction}: received ${sha256} instead of ${right}`);
}

async function sendPattern(socket: Socket, index: number, bytes: number): Promise<void> {
  for (const piece of patternPieces(seedOf(index), bytes)) {
    if (socket.destroyed) return;
    if (!socket.write(piece)) await roomOrEnd(socket);
  }
  socket.end();
}

/** Returns the SHA-256 of everything up to the end, or for a broken stream the error. */
async function digest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  try {
    await toEnd(socket, (chunk) => hash.update(chunk));
  } catch (error) {
    return String(error);
  }
  return hash.digest('hex');
}

async function text(socket: Socket): Promise<string> {
  let all = '';
  try {
    await toEnd(socket, (chunk) => {
      all += chunk.toString();
    });
  } catch (error) {
    return String(error);
  }
  return all;
}

async function toEnd(socket: Socket, take: (chunk: Buffer) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.on('data', take);
    socket.once('end', resolve);
    socket.once('close', () => reject(socket.errored ?? new Error('closed before its end')));
  });
}
