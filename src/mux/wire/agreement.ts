import { TunnelError } from '../../core/errors.js';
import { DEFAULT_FRAME_BYTES, MAX_FRAME_BYTES } from '../../core/limits.js';
import {
  decodeHello,
  decodeHelloVersions,
  decodeWelcome,
  type Fields,
  type Hello,
  invalid,
  type Refuse,
  type Versions,
  type Welcome,
} from './handshake.js';
import { REASONS, type Reason } from './reasons.js';
import { isIdAt } from './stream_id.js';

/** Versions of docs/protocol.md that this code speaks. */
export const OUR_VERSIONS: Versions = { lowest: 1, highest: 1 };

/** What one end brings into the handshake. */
export interface HandshakeOffer {
  readonly versions: Versions;
  /** UUID of this process's session with this peer, 16 bytes, never nil; the same after an outage. */
  readonly session: Uint8Array;
  /** Longest frame taken, 1024 to 65535. */
  readonly frameBytes: number;
  readonly features: number;
}

/** What this version of the code offers. @param session from `newId`, kept while the session lives */
export function ourOffer(session: Uint8Array): HandshakeOffer {
  return { versions: OUR_VERSIONS, session, frameBytes: MAX_FRAME_BYTES, features: 0 };
}

/** What both ends agreed on. */
export interface Agreement {
  readonly version: number;
  /** Longest frame either may send, in bytes. */
  readonly frameBytes: number;
  /** Bits that both set. */
  readonly features: number;
  readonly ourSession: Uint8Array;
  readonly theirSession: Uint8Array;
  /** What the other end added. */
  readonly fields: Fields;
}

/** The connector's first word; it says it again each time the friend comes online. */
export function helloOf(ours: HandshakeOffer, fields: Fields = new Map()): Hello {
  const { versions, session, frameBytes, features } = ours;
  return { versions, session, frameBytes, features, fields };
}

export type HelloAnswer =
  | { readonly kind: 'agreed'; readonly agreement: Agreement }
  | { readonly kind: 'refused'; readonly refuse: Refuse };

/**
 * What the listener makes of a hello. When agreed, it checks the fields by its own rules, opens
 * the channel, and then sends {@link welcomeOf}. Never throws: a hello of nonsense is refused too.
 */
export function answerHello(ours: HandshakeOffer, packet: Uint8Array): HelloAnswer {
  try {
    const theirs = decodeHelloVersions(packet);
    const version = Math.min(ours.versions.highest, theirs.highest);
    if (version < Math.max(ours.versions.lowest, theirs.lowest)) {
      return refused(ours, 'version', `you speak ${spoken(theirs)}, I speak ${spoken(ours.versions)}`);
    }
    const hello = decodeHello(packet);
    if (hello.frameBytes < DEFAULT_FRAME_BYTES) {
      return refused(
        ours,
        'protocol-error',
        `frames of ${hello.frameBytes} bytes; ${DEFAULT_FRAME_BYTES} are needed`,
      );
    }
    return { kind: 'agreed', agreement: agree(ours, version, hello) };
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    return refused(ours, 'protocol-error', error.message);
  }
}

/** A refusal in the listener's name. */
export function refuseOf(ours: HandshakeOffer, reason: Reason, text: string): Refuse {
  return { versions: ours.versions, reason, text };
}

/** The listener's answer to a hello that it agreed to. */
export function welcomeOf(ours: HandshakeOffer, agreement: Agreement, fields: Fields = new Map()): Welcome {
  return {
    version: agreement.version,
    connectorSession: agreement.theirSession,
    session: ours.session,
    frameBytes: ours.frameBytes,
    features: ours.features,
    fields,
  };
}

/**
 * What the connector makes of a welcome.
 *
 * @returns undefined when it answers a hello of another session: late, to be ignored
 * @throws {TunnelError} ERR_HANDSHAKE_INVALID (remote)
 */
export function acceptWelcome(ours: HandshakeOffer, packet: Uint8Array): Agreement | undefined {
  const welcome = decodeWelcome(packet);
  if (!isIdAt(ours.session, welcome.connectorSession, 0)) return undefined;
  if (welcome.version < ours.versions.lowest || welcome.version > ours.versions.highest) {
    throw invalid(`a welcome in version ${welcome.version}; offered were ${spoken(ours.versions)}`);
  }
  if (welcome.frameBytes < DEFAULT_FRAME_BYTES) {
    throw invalid(`frames of ${welcome.frameBytes} bytes; ${DEFAULT_FRAME_BYTES} are needed`);
  }
  return agree(ours, welcome.version, welcome);
}

/** The error for a refuse, to be told to whoever asked for the connection. */
export function refuseError(refuse: Refuse): TunnelError {
  const { sentence } = REASONS[refuse.reason];
  const told = refuse.text === '' ? '' : ` (it says: ${refuse.text})`;
  const detail = `${sentence}${told}; it speaks ${spoken(refuse.versions)}`;
  // To the listener we are no friend that it talks to.
  const returnCode = refuse.reason === 'not-allowed' ? 202 : undefined;
  return new TunnelError('ERR_HANDSHAKE_REFUSED', detail, { remote: true, returnCode });
}

/** True when both agreements join the same two processes' sessions: streams go on. */
export function resumes(before: Agreement, now: Agreement): boolean {
  return isIdAt(before.ourSession, now.ourSession, 0) && isIdAt(before.theirSession, now.theirSession, 0);
}

/**
 * Names the channel of an agreement in its packets: 32 bits, the same at both ends (docs/protocol.md,
 * section 5). The 32-bit FNV-1a hash of both session UUIDs, the connector's first; keeps late
 * packets of an older channel apart and needs to resist nobody, as Tox authenticates each packet.
 * Source of the numbers: draft-eastlake-fnv-21, section 5.
 */
export function channelTag(agreement: Agreement, role: 'connector' | 'listener'): number {
  const { ourSession, theirSession } = agreement;
  const [first, second] = role === 'connector' ? [ourSession, theirSession] : [theirSession, ourSession];
  return fnv1a(second, fnv1a(first, 0x811c9dc5));
}

type Theirs = Pick<Hello, 'session' | 'frameBytes' | 'features' | 'fields'>;

function agree(ours: HandshakeOffer, version: number, theirs: Theirs): Agreement {
  return {
    version,
    frameBytes: Math.min(ours.frameBytes, theirs.frameBytes),
    features: (ours.features & theirs.features) >>> 0,
    ourSession: ours.session,
    theirSession: theirs.session,
    fields: theirs.fields,
  };
}

function refused(ours: HandshakeOffer, reason: Reason, text: string): HelloAnswer {
  return { kind: 'refused', refuse: refuseOf(ours, reason, text) };
}

function spoken({ lowest, highest }: Versions): string {
  return lowest === highest ? `version ${lowest}` : `versions ${lowest} to ${highest}`;
}

function fnv1a(bytes: Uint8Array, from: number): number {
  let value = from;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
