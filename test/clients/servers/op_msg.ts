/**
 * A small MongoDB server: the handshake, inserts and finds by `_id`. Source: the MongoDB wire protocol, OP_MSG, and
 * OP_QUERY for the first hello.
 */
import type { Duplex } from 'node:stream';
import { BSON, type Document } from 'mongodb';
import type { Hold } from '../harness/hold.js';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER_BYTES = 16;

/** Serves a connection. A find with `held` is a job that is held. @param stored for all connections */
export function serveMongo(stream: Duplex, stored: Map<string, Document>, hold: Hold): void {
  let buffered: Buffer = Buffer.alloc(0);
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    while (buffered.length >= 4 && buffered.length >= buffered.readInt32LE(0)) {
      const length = buffered.readInt32LE(0);
      void answer(buffered.subarray(0, length));
      buffered = buffered.subarray(length);
    }
  });

  async function answer(message: Buffer): Promise<void> {
    const request = message.readInt32LE(4);
    if (message.readInt32LE(12) === OP_QUERY) {
      const body = Buffer.alloc(20);
      body.writeInt32LE(1, 16); // one document
      write(OP_REPLY, request, body, await resultOf(readQuery(message)));
    } else {
      write(OP_MSG, request, Buffer.alloc(5), await resultOf(readMessage(message)));
    }
  }

  function write(operation: number, request: number, body: Buffer, document: Document): void {
    const bytes = BSON.serialize(document);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeInt32LE(HEADER_BYTES + body.length + bytes.length, 0);
    header.writeInt32LE(request, 8);
    header.writeInt32LE(operation, 12);
    if (!stream.destroyed) stream.write(Buffer.concat([header, body, bytes]));
  }

  async function resultOf(command: Document): Promise<Document> {
    if ('insert' in command) {
      const documents = command['documents'] as Document[];
      for (const document of documents) stored.set(String(document['_id']), document);
      return { ok: 1, n: documents.length };
    }
    if ('find' in command) {
      const filter = command['filter'] as Document;
      if ('held' in filter) await hold.pass();
      const found = stored.get(String(filter['_id']));
      const firstBatch = found === undefined ? [] : [found];
      return { ok: 1, cursor: { id: BSON.Long.ZERO, ns: `test.${String(command['find'])}`, firstBatch } };
    }
    return {
      ok: 1,
      ismaster: true,
      isWritablePrimary: true,
      helloOk: true,
      maxBsonObjectSize: 16 << 20,
      maxMessageSizeBytes: 48_000_000,
      maxWriteBatchSize: 100_000,
      minWireVersion: 0,
      maxWireVersion: 21,
    };
  }
}

/** Reads the command of an OP_QUERY: after the flags, the name of the collection and two numbers. */
function readQuery(message: Buffer): Document {
  const nameEnd = message.indexOf(0, HEADER_BYTES + 4);
  return documentAt(message, nameEnd + 9).document;
}

/** Reads an OP_MSG: a command, and lists of documents that belong to it. */
function readMessage(message: Buffer): Document {
  const command: Document = {};
  for (let at = HEADER_BYTES + 4; at < message.length; ) {
    const kind = message[at];
    if (kind === 0) {
      const { document, end } = documentAt(message, at + 1);
      Object.assign(command, document);
      at = end;
    } else {
      const sectionEnd = at + 1 + message.readInt32LE(at + 1);
      const nameEnd = message.indexOf(0, at + 5);
      const name = message.toString('utf8', at + 5, nameEnd);
      const documents: Document[] = [];
      for (at = nameEnd + 1; at < sectionEnd; ) {
        const { document, end } = documentAt(message, at);
        documents.push(document);
        at = end;
      }
      command[name] = documents;
    }
  }
  return command;
}

function documentAt(message: Buffer, at: number): { document: Document; end: number } {
  const end = at + message.readInt32LE(at);
  return { document: BSON.deserialize(message.subarray(at, end)), end };
}
