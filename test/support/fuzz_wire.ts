import { provesRequest, readRequest, requestMessage } from '../../src/access/proof.js';
import { MAX_PACKET_BYTES } from '../../src/core/packets.js';
import { acceptWelcome, answerHello, ourOffer } from '../../src/mux/wire/agreement.js';
import { encodeText } from '../../src/mux/wire/codec.js';
import * as frame from '../../src/mux/wire/frame.js';
import * as handshake from '../../src/mux/wire/handshake.js';
import { encodeTarget } from '../../src/mux/wire/target.js';
import { HeldChannel, TAG } from './channel_pair.js';
import { bytesTarget, type FuzzTarget, refusing, same, unhex } from './fuzz_target.js';
import { aloneWith } from './mux_link.js';

const id = unhex('00112233445546778899aabbccddeeff');
const session = new Uint8Array(16).fill(0xc0);
const far = new Uint8Array(16).fill(0xa0);
const targets = (
  [
    { kind: 'tcp', host: 'localhost', port: 22 },
    { kind: 'path', path: '/run/x y.sock' },
    { kind: 'listen', host: '::1', port: 0 },
    { kind: 'accepted', listener: id, host: '10.0.0.7', port: 40_000 },
    { kind: 'udp', host: 'dns.lan', port: 53 },
  ] as const
).map(encodeTarget);
const no = encodeText('no');

function written(bytes: number, write: (out: Uint8Array) => void): Uint8Array {
  const out = new Uint8Array(bytes);
  write(out);
  return out;
}

const FRAMES = [
  ...targets.map((target) =>
    written(frame.openBytes(target), (out) => frame.writeOpen(out, id, 262_144, target)),
  ),
  ...[frame.OPENED, frame.END, frame.CREDIT].map((type) =>
    written(frame.OFFSET_FRAME_BYTES, (out) => frame.writeOffsetFrame(out, type, id, 3)),
  ),
  written(frame.DATA_HEADER_BYTES + 3, (out) => frame.writeOffsetFrame(out, frame.DATA, id, 0)),
  ...[
    { number: 0, part: 0, parts: 1 },
    { number: 1, part: 1, parts: 2 },
    { number: 1, part: 0, parts: 2 },
  ].map((part) =>
    written(frame.DATAGRAM_HEADER_BYTES + 3, (out) => frame.writeDatagramHeader(out, id, part)),
  ),
  written(frame.refusedBytes(no), (out) => frame.writeRefused(out, id, 'refused', no)),
  written(frame.RESET_BYTES, (out) => frame.writeReset(out, id, 'reset')),
  written(frame.TOKEN_FRAME_BYTES, (out) => frame.writeTokenFrame(out, frame.PING, session.subarray(0, 8))),
  written(frame.TOKEN_FRAME_BYTES, (out) => frame.writeTokenFrame(out, frame.PONG, session.subarray(0, 8))),
  written(frame.byeBytes(no), (out) => frame.writeBye(out, 'peer-shutdown', 3, no)),
];

function readFrame(bytes: Uint8Array): void {
  const type = bytes[0] ?? 0;
  switch (type) {
    case frame.OPEN: {
      const { creditOffset, target } = frame.readOpen(bytes);
      if (target === undefined) return;
      const told = encodeTarget(target);
      const again = written(frame.openBytes(told), (out) =>
        frame.writeOpen(out, bytes.subarray(1, 17), creditOffset, told),
      );
      same('OPEN', bytes, again);
      return;
    }
    case frame.OPENED:
    case frame.END:
    case frame.CREDIT:
      frame.readOffset(bytes);
      return;
    case frame.DATA:
      frame.readDataOffset(bytes);
      return;
    case frame.DATAGRAM: {
      const part = frame.readDatagramPart(bytes);
      const again = written(bytes.length, (out) => {
        frame.writeDatagramHeader(out, bytes.subarray(1, 17), part);
        out.set(bytes.subarray(frame.DATAGRAM_HEADER_BYTES), frame.DATAGRAM_HEADER_BYTES);
      });
      same('DATAGRAM', bytes, again);
      return;
    }
    case frame.REFUSED:
      frame.readRefused(bytes);
      return;
    case frame.RESET:
      frame.readReset(bytes);
      return;
    case frame.PING:
    case frame.PONG:
      frame.checkTokenFrame(bytes);
      return;
    default:
      frame.readBye(bytes);
  }
}

/** Feeds frames into a session with a stream or two, until one of them ends it. */
function sessionTarget(): FuzzTarget {
  const fresh = () =>
    aloneWith({
      role: 'listener',
      onOpen: (request) => {
        const { kind } = request.target;
        if (kind === 'udp' || (kind === 'tcp' && request.target.port % 2 === 0))
          request.accept({ onData: () => {}, onDatagram: () => {} });
        else request.refuse('not-allowed');
      },
    });
  let one = fresh();
  let frames = 0;
  return bytesTarget('session', 4, FRAMES, 1344, (input) => {
    if (one.session.isClosed || frames++ % 64 === 0) one = fresh();
    const verdict = refusing(['ERR_FRAME_INVALID'], () => {
      // The channel carries no frame shorter than its header.
      if (input.length >= frame.HEADER_BYTES) one.session.receive(input);
    });
    if (verdict === 'refused') one.session.close('protocol-error');
    one.session.flush();
    one.sink.take();
    const { heldBytes, datagramBytes, streams } = one.session.stats();
    if (heldBytes + datagramBytes > 1024 * 1024 || streams > 64)
      throw new Error(`${heldBytes} and ${datagramBytes} bytes held, ${streams} streams`);
    return verdict;
  });
}

const OFFER = ourOffer(session);
const FIELDS = new Map([[1, new Uint8Array(40).fill(7)]]);
const HANDSHAKES = [
  handshake.encodeHello({ ...OFFER, fields: new Map() }),
  handshake.encodeHello({ ...OFFER, fields: FIELDS }),
  handshake.encodeWelcome({ ...OFFER, version: 2, connectorSession: session, session: far, fields: FIELDS }),
  handshake.encodeChallenge({ connectorSession: session, session: far, fields: new Map() }),
  handshake.encodeRefuse({ versions: { lowest: 2, highest: 2 }, reason: 'not-allowed', text: 'no' }),
];

function readHandshake(packet: Uint8Array): void {
  const answer = answerHello(OFFER, packet);
  if (answer.kind === 'agreed') {
    same('hello', packet, handshake.encodeHello(handshake.decodeHello(packet)));
    return;
  }
  const kind = handshake.packetKind(packet) ?? 0;
  switch (kind) {
    case 2:
      acceptWelcome(OFFER, packet);
      same('welcome', packet, handshake.encodeWelcome(handshake.decodeWelcome(packet)));
      return;
    case 3:
      handshake.decodeRefuse(packet);
      return;
    default:
      same('challenge', packet, handshake.encodeChallenge(handshake.decodeChallenge(packet)));
  }
}

function channelTarget(): FuzzTarget {
  const pair = [new HeldChannel(1), new HeldChannel(2)] as const;
  for (let round = 0; round < 20; round++) {
    pair[0].send('aa'.repeat(1 + round * 40));
    pair[0].send('bb');
    for (const packet of pair[0].pump(round).map(unhex)) pair[1].receive(packet, round);
    for (const packet of pair[1].pump(round + 30).map(unhex)) pair[0].receive(packet, round + 30);
  }
  const seeds: Uint8Array[] = [];
  pair[0].send('cc'.repeat(50));
  seeds.push(...pair[0].pump(5000).map(unhex), ...pair[1].pump(15_000).map(unhex));
  const tag = TAG.toString(16).padStart(8, '0');
  seeds.push(
    unhex(`db 02 ${tag} 00000000`),
    unhex(`db 16 ${tag} 00000001 00000000 ffff`),
    unhex(`db 0e ${tag} 00000002 00000001 0001 aa 0002 bbbb`),
    unhex(`db 01 ${tag} 00000000 0000 00 00`),
    unhex(`db 22 ${tag} 00000004 ffff`),
    unhex(`db 2a ${tag} 00000005 0001 aa 0002 bbbb`),
    unhex(`db 07 ${tag} 00000003 00000002 00000001 0010 01 00 00 00 dd`),
  );
  let one = new HeldChannel(3);
  let packets = 0;
  return bytesTarget('channel', 4, seeds, MAX_PACKET_BYTES, (input) => {
    if (one.error !== undefined || packets++ % 256 === 0) {
      one = new HeldChannel(3);
      // Gives the peer something to acknowledge.
      one.send('ee'.repeat(100));
      one.pump(0);
    }
    const strays = one.channel.stats(packets).strayIn;
    one.receive(input, packets);
    if (packets % 8 === 0) one.pump(packets);
    one.frames.length = 0;
    one.sent.length = 0;
    if (one.error === undefined)
      return one.channel.stats(packets).strayIn === strays ? 'accepted' : 'refused';
    one.assertBlamesPeer();
    return 'refused';
  });
}

function requestTarget(): FuzzTarget {
  const secret = new Uint8Array(32).fill(1);
  const keys = { connector: new Uint8Array(32).fill(2), listener: new Uint8Array(32).fill(3) };
  const genuine = requestMessage(secret, keys);
  const forged = requestMessage(new Uint8Array(32).fill(4), keys);
  return bytesTarget('request proof', 1, [genuine, forged], 1016, (input) => {
    const proof = readRequest(input);
    if (proof === undefined || !provesRequest(secret, keys, proof)) return 'refused';
    // The key id only names a secret; the hash is the proof.
    same('a proof that nobody made', genuine.subarray(9), input.subarray(9));
    return 'accepted';
  });
}

/** The targets for input from the network. */
export function wireTargets(): FuzzTarget[] {
  return [
    requestTarget(),
    bytesTarget('handshake', 6, HANDSHAKES, MAX_PACKET_BYTES, (input) =>
      refusing(['ERR_HANDSHAKE_INVALID'], () => readHandshake(input)),
    ),
    bytesTarget('frame', 8, FRAMES, 1344, (input) =>
      refusing(['ERR_FRAME_INVALID'], () => {
        if (input.length >= frame.HEADER_BYTES) readFrame(input);
      }),
    ),
    sessionTarget(),
    channelTarget(),
  ];
}
