/** A small Redis server: the commands that the tests send. Source: the Redis serialization protocol, version 2. */
import type { Duplex } from 'node:stream';
import type { Hold } from '../harness/hold.js';

/** Serves a connection. `BLPOP` is a job that is held. @param values what is stored, for all connections */
export function serveRedis(stream: Duplex, values: Map<string, Buffer>, hold: Hold): void {
  let buffered: Buffer = Buffer.alloc(0);
  /** Answers keep the order of the commands. */
  let answered = Promise.resolve();
  const answer = async ([command, ...args]: readonly Buffer[]): Promise<void> => {
    const key = String(args[0]);
    switch (String(command).toUpperCase()) {
      case 'INFO':
        stream.write(bulk(Buffer.from('redis_version:7.0.0\r\nloading:0\r\n')));
        return;
      case 'SET':
        values.set(key, args[1] ?? Buffer.alloc(0));
        stream.write('+OK\r\n');
        return;
      case 'GET':
        stream.write(bulk(values.get(key)));
        return;
      case 'ECHO':
        stream.write(bulk(args[0]));
        return;
      case 'BLPOP':
        await hold.pass();
        stream.write('*2\r\n');
        stream.write(bulk(Buffer.from(key)));
        stream.write(bulk(Buffer.from('item')));
        return;
      case 'QUIT':
        stream.end('+OK\r\n');
        return;
      default:
        stream.write(`-ERR unknown command '${String(command)}'\r\n`);
    }
  };
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    for (let read = readCommand(buffered); read !== undefined; read = readCommand(buffered)) {
      const { words } = read;
      buffered = buffered.subarray(read.bytes);
      answered = answered.then(async () => await answer(words));
    }
  });
}

function bulk(value: Buffer | undefined): Buffer {
  if (value === undefined) return Buffer.from('$-1\r\n');
  return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
}

/** Reads a command: an array of bulk strings. @returns undefined while it is incomplete */
function readCommand(bytes: Buffer): { words: Buffer[]; bytes: number } | undefined {
  let at = 0;
  const readNumber = (): number | undefined => {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const number = Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;
    return number;
  };
  const count = readNumber();
  if (count === undefined) return undefined;
  const words: Buffer[] = [];
  while (words.length < count) {
    const length = readNumber();
    if (length === undefined || bytes.length < at + length + 2) return undefined;
    words.push(bytes.subarray(at, at + length));
    at += length + 2;
  }
  return { words, bytes: at };
}
