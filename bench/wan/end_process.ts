// One end of the transfers, on its own host. Does what its parent asks over the channel between them.
import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { pattern } from '../../test/support/pattern.js';
import { onRequest, roomOrEnd } from '../request.js';
import type { EndAnswer, EndRequest, EndTasks, GetTask, PingTask, Transfer } from './end_contract.js';

/** A block of random bytes, sent repeatedly, each time with its number at the start. */
const BLOCK_BYTES = 1024 * 1024;
const WRITE_BYTES = 64 * 1024;
const SHA256_BYTES = 32;
/** A request: u64 bytes, big-endian; 0 requests an echo. */
const REQUEST_BYTES = 8;
const TIMELINE_STEP_MS = 20;

const nowMs = (): number => performance.timeOrigin + performance.now();

function serve(): Promise<number> {
  const block = pattern('wan', BLOCK_BYTES);
  const server = createServer({ noDelay: true, allowHalfOpen: true });
  onRequest(server, REQUEST_BYTES, (socket, request) => {
    const bytes = Number(request.readBigUInt64BE(0));
    if (bytes === 0) socket.pipe(socket);
    else void send(socket, block, bytes);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '0.0.0.0', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('a TCP server has a port'));
      else resolve(address.port);
    });
  });
}

/** Sends the bytes, then their SHA-256. */
async function send(socket: Socket, block: Buffer, bytes: number): Promise<void> {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes && !socket.destroyed; at += WRITE_BYTES) {
    const start = at % BLOCK_BYTES;
    const piece = Buffer.from(block.subarray(start, start + Math.min(WRITE_BYTES, bytes - at)));
    if (piece.length >= 8) piece.writeBigUInt64BE(BigInt(at), 0);
    hash.update(piece);
    if (!socket.write(piece)) await roomOrEnd(socket);
  }
  if (!socket.destroyed) socket.end(hash.digest());
}

function dial(host: string, port: number, bytes: number): Socket {
  const socket = connect({ host, port, noDelay: true });
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeBigUInt64BE(BigInt(bytes), 0);
  socket.write(request);
  return socket;
}

async function get({ host, port, bytes, forMs }: GetTask): Promise<Transfer> {
  const beganAtMs = nowMs();
  const totals: number[] = [];
  const hash = createHash('sha256');
  let received = 0;
  let tail = Buffer.alloc(0);
  const socket = dial(host, port, bytes);
  const timer = forMs === undefined ? undefined : setTimeout(() => socket.destroy(), forMs);
  const note = (): void => {
    const step = Math.floor((nowMs() - beganAtMs) / TIMELINE_STEP_MS);
    while (totals.length < step) totals.push(totals.at(-1) ?? 0);
    totals[step] = Math.min(received, bytes);
  };
  return await new Promise((resolve, reject) => {
    const finish = (isWhole: boolean): void => {
      clearTimeout(timer);
      note();
      const timeline = { beganAtMs, stepMs: TIMELINE_STEP_MS, totals };
      resolve({ timeline, ms: endedAtMs - beganAtMs, isWhole });
      socket.destroy();
    };
    let endedAtMs = 0;
    socket.on('data', (chunk: Buffer) => {
      const left = bytes - received;
      if (left > 0) hash.update(chunk.length <= left ? chunk : chunk.subarray(0, left));
      if (chunk.length > left) tail = Buffer.concat([tail, chunk.subarray(Math.max(left, 0))]);
      received = Math.min(received + chunk.length, bytes);
      if (left > 0 && received === bytes) endedAtMs = nowMs();
      note();
    });
    socket.once('end', () => {
      if (tail.length === SHA256_BYTES && tail.equals(hash.digest())) finish(true);
      else
        reject(
          new Error(`received ${received} of ${bytes} bytes, and their SHA-256 differs from the sender's`),
        );
    });
    socket.once('error', (error) => {
      note();
      reject(new Error(`after ${received} of ${bytes} bytes: ${error.message}`));
    });
    socket.once('close', () => finish(false));
  });
}

async function ping({ host, port, forMs }: PingTask): Promise<readonly number[]> {
  const socket = dial(host, port, 0);
  const untilMs = nowMs() + forMs;
  const took: number[] = [];
  return await new Promise((resolve, reject) => {
    let sentAtMs = 0;
    const send = (): void => {
      sentAtMs = nowMs();
      socket.write('!');
    };
    socket.on('data', () => {
      took.push(nowMs() - sentAtMs);
      if (nowMs() < untilMs) send();
      else socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(took));
    send();
  });
}

const tasks = { serve, get, ping } satisfies {
  readonly [Name in keyof EndTasks]: (
    ...task: Parameters<EndTasks[Name]>
  ) => Promise<ReturnType<EndTasks[Name]>>;
};

function perform(request: EndRequest): Promise<unknown> {
  switch (request.name) {
    case 'serve':
      return tasks.serve();
    case 'get':
      return tasks.get(request.task);
    case 'ping':
      return tasks.ping(request.task);
  }
}

// Only the parent writes to this channel.
process.on('message', (request: EndRequest) => {
  const answer = (rest: Omit<EndAnswer, 'id'>): void => {
    process.send?.({ id: request.id, ...rest } satisfies EndAnswer);
  };
  perform(request).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
