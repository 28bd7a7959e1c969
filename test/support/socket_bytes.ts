/**
 * Reading and writing sockets a test at a time. By events and not by `for await`, which destroys
 * a socket when its reading side has ended, and with it the half that still writes.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { patternPieces } from './pattern.js';

/** Everything up to the end; rejects when the connection breaks before it. */
export async function readToEnd(readable: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await eachChunk(readable, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks);
}

/** The same without keeping it: SHA-256 in hex and length. */
export async function readDigest(readable: Readable): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  await eachChunk(readable, (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  return { sha256: hash.digest('hex'), bytes };
}

async function eachChunk(readable: Readable, take: (chunk: Buffer) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    readable.on('data', take);
    readable.once('end', resolve);
    readable.once('error', reject);
    readable.once('close', () => reject(new Error('closed before its end')));
    readable.resume();
  });
}

/** The next `bytes` bytes of a socket that nobody else reads. */
export async function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const attempt = (): void => {
      const chunk: unknown = socket.read(bytes);
      // read() gives less than asked for when the stream has ended.
      if (chunk instanceof Buffer && chunk.length === bytes) done(() => resolve(chunk));
      else if (chunk !== null) done(() => reject(new Error('ended in the middle')));
    };
    const failed = (): void => done(() => reject(socket.errored ?? new Error('closed in the middle')));
    const done = (settle: () => void): void => {
      socket.off('readable', attempt).off('close', failed).off('end', failed);
      settle();
    };
    socket.on('readable', attempt).on('close', failed).on('end', failed);
    attempt();
  });
}

/** Writes `bytes` of the pattern, waiting for room; does not end. Resolves when all was handed over. */
export async function writePattern(socket: Socket, seed: string, bytes: number): Promise<void> {
  for (const piece of patternPieces(seed, bytes)) {
    if (!socket.write(piece)) await room(socket);
  }
}

/** Resolves when the socket takes more; rejects when it is closed before. */
export async function room(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      if (socket.destroyed) reject(socket.errored ?? new Error('closed in the middle'));
      else resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}
