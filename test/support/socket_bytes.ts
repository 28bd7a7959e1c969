/**
 * Reads and writes the sockets of a test. Uses events and not `for await`, which destroys a socket when its
 * reading side has ended, along with the half that still writes.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { patternPieces } from './pattern.js';

/** Reads everything up to the end; rejects when the connection breaks earlier. */
export async function readToEnd(readable: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await eachChunk(readable, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks);
}

/** The same without keeping the bytes: returns the SHA-256 in hex and the length. */
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

/** Reads the next `bytes` bytes of a socket that nobody else reads. */
export async function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const attempt = (): void => {
      const chunk: unknown = socket.read(bytes);
      // read() returns fewer bytes than requested when the stream has ended.
      if (chunk instanceof Buffer && chunk.length === bytes) done(() => resolve(chunk));
      else if (chunk !== null) done(() => reject(new Error('ended too early')));
    };
    const failed = (): void => done(() => reject(socket.errored ?? new Error('closed too early')));
    const done = (settle: () => void): void => {
      socket.off('readable', attempt).off('close', failed).off('end', failed);
      settle();
    };
    socket.on('readable', attempt).on('close', failed).on('end', failed);
    attempt();
  });
}

/**
 * Writes `bytes` of the pattern with backpressure, without ending the socket. Resolves when everything is
 * handed over.
 */
export async function writePattern(socket: Socket, seed: string, bytes: number): Promise<void> {
  for (const piece of patternPieces(seed, bytes)) {
    if (!socket.write(piece)) await room(socket);
  }
}

/** Resolves when the socket accepts more; rejects when it closes first. */
export async function room(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      if (socket.destroyed) reject(socket.errored ?? new Error('closed while writing'));
      else resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}
