/**
 * A small AMQP 0-9-1 broker: queues, publishing with confirms, and consumers. Source: the specification of AMQP 0-9-1,
 * its methods by class and number.
 */
import type { Duplex } from 'node:stream';
import type { Hold } from '../harness/hold.js';

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
const FRAME_BYTES = 131_072;
/** A frame's type, channel, size and end. */
const AROUND_BYTES = 8;

interface Message {
  readonly queue: string;
  /** The class, the weight, the size and the properties, as they came. */
  header: Buffer;
  body: Buffer;
}

/** The queues of a broker. Messages wait there until a channel consumes them. */
export class Queues {
  readonly #waiting = new Map<string, Message[]>();
  readonly #takers = new Map<string, (message: Message) => void>();

  put(message: Message): void {
    const take = this.#takers.get(message.queue);
    if (take !== undefined) take(message);
    else this.#waiting.set(message.queue, [...(this.#waiting.get(message.queue) ?? []), message]);
  }

  consume(queue: string, take: (message: Message) => void): void {
    this.#takers.set(queue, take);
    for (const message of this.#waiting.get(queue)?.splice(0) ?? []) take(message);
  }

  /** Forgets a consumer, unless another has taken its place. */
  leave(queue: string, take: (message: Message) => void): void {
    if (this.#takers.get(queue) === take) this.#takers.delete(queue);
  }
}

/** Serves a connection. Messages to the queue `held` are jobs that are held. */
export function serveAmqp(stream: Duplex, queues: Queues, hold: Hold): void {
  let buffered: Buffer = Buffer.alloc(0);
  let hasGreeted = false;
  /** For each channel, what is being published, and how many messages it has confirmed. */
  const publishing = new Map<number, Message>();
  const published = new Map<number, number>();

  function send(type: number, channel: number, payload: Buffer): void {
    if (stream.destroyed || stream.writableEnded) return;
    const head = Buffer.alloc(7);
    head.writeUInt8(type, 0);
    head.writeUInt16BE(channel, 1);
    head.writeUInt32BE(payload.length, 3);
    stream.write(Buffer.concat([head, payload, Buffer.of(FRAME_END)]));
  }

  const call = (channel: number, [group, method]: readonly [number, number], ...args: Buffer[]): void =>
    send(METHOD, channel, Buffer.concat([short(group), short(method), ...args]));

  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    if (!hasGreeted) {
      if (buffered.length < 8) return;
      buffered = buffered.subarray(8);
      hasGreeted = true;
      const [mechanisms, locales] = ['PLAIN', 'en_US'].map((text) => longText(Buffer.from(text)));
      call(0, [10, 10], Buffer.of(0, 9), longText(Buffer.alloc(0)), mechanisms!, locales!);
    }
    while (buffered.length >= AROUND_BYTES) {
      const size = buffered.readUInt32BE(3);
      if (buffered.length < size + AROUND_BYTES) return;
      const [type, channel] = [buffered[0], buffered.readUInt16BE(1)];
      const payload = buffered.subarray(7, 7 + size);
      buffered = buffered.subarray(size + AROUND_BYTES);
      if (type === METHOD) called(channel, payload);
      else if (type === HEADER || type === BODY) received(channel, type, payload);
    }
  });

  function called(channel: number, payload: Buffer): void {
    switch (`${payload.readUInt16BE(0)}.${payload.readUInt16BE(2)}`) {
      case '10.11': // start-ok; answered by tune, without heartbeats
        call(0, [10, 30], short(100), long(FRAME_BYTES), short(0));
        break;
      case '10.40': // open
        call(0, [10, 41], Buffer.of(0));
        break;
      case '10.50': // close
        call(0, [10, 51]);
        stream.end();
        break;
      case '20.10': // channel.open
        call(channel, [20, 11], longText(Buffer.alloc(0)));
        break;
      case '20.40': // channel.close
        call(channel, [20, 41]);
        break;
      case '85.10': // confirm.select
        published.set(channel, 0);
        call(channel, [85, 11]);
        break;
      case '50.10': // queue.declare
        call(channel, [50, 11], shortText(textAt(payload, 6)), long(0), long(0));
        break;
      case '60.20': // basic.consume
        consume(channel, textAt(payload, 6));
        break;
      case '60.40': {
        // basic.publish, to the default exchange: the routing key is the queue
        const queue = textAt(payload, 6 + 1 + textAt(payload, 6).length);
        publishing.set(channel, { queue, header: Buffer.alloc(0), body: Buffer.alloc(0) });
        break;
      }
    }
  }

  function consume(channel: number, queue: string): void {
    let delivered = 0;
    call(channel, [60, 21], shortText('consumer'));
    const take = ({ header, body }: Message): void => {
      const tag = Buffer.concat([long(0), long(++delivered)]);
      call(channel, [60, 60], shortText('consumer'), tag, Buffer.of(0), shortText(''), shortText(queue));
      send(HEADER, channel, header);
      for (let at = 0; at < body.length; at += FRAME_BYTES - AROUND_BYTES)
        send(BODY, channel, body.subarray(at, at + FRAME_BYTES - AROUND_BYTES));
    };
    queues.consume(queue, take);
    stream.on('close', () => queues.leave(queue, take));
  }

  function received(channel: number, type: number, payload: Buffer): void {
    const message = publishing.get(channel);
    if (message === undefined) return;
    if (type === HEADER) message.header = Buffer.from(payload);
    else message.body = Buffer.concat([message.body, payload]);
    if (message.body.length < Number(message.header.readBigUInt64BE(4))) return;
    publishing.delete(channel);
    const number = (published.get(channel) ?? 0) + 1;
    published.set(channel, number);
    const confirm = async (): Promise<void> => {
      if (message.queue === 'held') await hold.pass();
      else queues.put(message);
      call(channel, [60, 80], long(0), long(number), Buffer.of(0));
    };
    void confirm();
  }
}

function textAt(payload: Buffer, at: number): string {
  return payload.toString('utf8', at + 1, at + 1 + (payload[at] ?? 0));
}

function short(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function shortText(text: string): Buffer {
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
}

function longText(bytes: Buffer): Buffer {
  return Buffer.concat([long(bytes.length), bytes]);
}
