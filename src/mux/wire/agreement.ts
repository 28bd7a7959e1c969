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
import { type ToldLimits, toldLimits } from './told_limits.js';

/** The feature bit of GIVE_BACK frames. */
export const GIVE_BACK_FEATURE = 1;

/** The versions of docs/reference/protocol.md that this code speaks. */
export const OUR_VERSIONS: Versions = { lowest: 2, highest: 2 };

/** The terms that one end offers in the handshake. */
export interface HandshakeOffer {
  readonly versions: Versions;
  /**
   * UUID of this process's session with this peer: 16 bytes, never nil. It stays the same after an outage.
   */
  readonly session: Uint8Array;
  /** Maximum length of a frame that this end takes, 1024 to 65535 bytes. */
  readonly frameBytes: number;
  /** One bit for each optional feature. */
  readonly features: number;
}

/**
 * Returns the terms that this code offers.
 *
 * @param session from `newId`; keep it for as long as the session lives
 */
export function ourOffer(session: Uint8Array): HandshakeOffer {
  return { versions: OUR_VERSIONS, session, frameBytes: MAX_FRAME_BYTES, features: GIVE_BACK_FEATURE };
}

/** The terms that both ends have agreed on. */
export interface Agreement {
  readonly version: number;
  /** Maximum length of a frame that either end sends, in bytes. */
  readonly frameBytes: number;
  /** The feature bits that both ends have set. */
  readonly features: number;
  readonly ourSession: Uint8Array;
  readonly theirSession: Uint8Array;
  /** The other end's extension fields. */
  readonly fields: Fields;
  /** What the other end lets this one open; undefined when it does not say. */
  readonly told?: ToldLimits | undefined;
}

/** Returns the connector's hello. The connector sends it each time the friend comes online. */
export function helloOf(ours: HandshakeOffer, fields: Fields = new Map()): Hello {
  const { versions, session, frameBytes, features } = ours;
  return { versions, session, frameBytes, features, fields };
}

export type HelloAnswer =
  | { readonly kind: 'agreed'; readonly agreement: Agreement }
  | { readonly kind: 'refused'; readonly refuse: Refuse };

/**
 * Returns the listener's answer to a hello. If the ends agree, the listener checks the fields by its own
 * rules, opens the channel, and then sends {@link welcomeOf}. A malformed hello is refused; this never
 * throws.
 */
export function answerHello(ours: HandshakeOffer, packet: Uint8Array): HelloAnswer {
  try {
    const theirs = decodeHelloVersions(packet);
    const version = Math.min(ours.versions.highest, theirs.highest);
    if (version < Math.max(ours.versions.lowest, theirs.lowest)) {
      return refused(
        ours,
        'version',
        `you speak ${spoken(theirs)}, this end speaks ${spoken(ours.versions)}: ${
          theirs.highest < ours.versions.lowest
            ? 'update tox-wasm-tunnel at your end'
            : 'tox-wasm-tunnel must be updated at this end'
        }`,
      );
    }
    const hello = decodeHello(packet);
    if (hello.frameBytes < DEFAULT_FRAME_BYTES) {
      return refused(ours, 'protocol-error', tooShort(hello.frameBytes));
    }
    return { kind: 'agreed', agreement: agree(ours, version, hello) };
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    return refused(ours, 'protocol-error', error.message);
  }
}

/** Returns the listener's refusal. */
export function refuseOf(ours: HandshakeOffer, reason: Reason, text: string): Refuse {
  return { versions: ours.versions, reason, text };
}

/** Returns the listener's welcome for an agreement. */
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
 * Reads a welcome at the connector.
 *
 * @returns undefined for a late welcome that answers another session's hello; ignore it
 * @throws {TunnelError} ERR_HANDSHAKE_INVALID (remote)
 */
export function acceptWelcome(ours: HandshakeOffer, packet: Uint8Array): Agreement | undefined {
  const welcome = decodeWelcome(packet);
  if (!isIdAt(ours.session, welcome.connectorSession, 0)) return undefined;
  if (welcome.version < ours.versions.lowest || welcome.version > ours.versions.highest) {
    throw invalid(`a welcome in version ${welcome.version}, but we offered ${spoken(ours.versions)}`);
  }
  if (welcome.frameBytes < DEFAULT_FRAME_BYTES) {
    throw invalid(tooShort(welcome.frameBytes));
  }
  return agree(ours, welcome.version, welcome);
}

/** Returns the error for a refuse, to give to the caller that wanted the connection. */
export function refuseError(refuse: Refuse): TunnelError {
  const { sentence } = REASONS[refuse.reason];
  const told = refuse.text === '' ? '' : ` (it says: ${refuse.text})`;
  const detail = `${sentence}${told}; it speaks ${spoken(refuse.versions)}`;
  // The listener does not treat us as a friend.
  const returnCode = refuse.reason === 'not-allowed' ? 202 : undefined;
  return new TunnelError('ERR_HANDSHAKE_REFUSED', detail, { remote: true, returnCode });
}

/** Tells whether both agreements join the same two sessions, so that their streams resume. */
export function resumes(before: Agreement, now: Agreement): boolean {
  return isIdAt(before.ourSession, now.ourSession, 0) && isIdAt(before.theirSession, now.theirSession, 0);
}

/**
 * Returns the tag of an agreement's channel, which each of its packets carries: 32 bits, the same at both
 * ends (docs/reference/protocol.md, section 5). It keeps late packets of an older channel apart. The tag is the 32-bit
 * FNV-1a hash of both session UUIDs, the connector's first. It does not have to resist attacks, because Tox
 * authenticates each packet. Source of the numbers: draft-eastlake-fnv-21, section 5.
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
    told: toldLimits(theirs.fields),
  };
}

function refused(ours: HandshakeOffer, reason: Reason, text: string): HelloAnswer {
  return { kind: 'refused', refuse: refuseOf(ours, reason, text) };
}

function tooShort(frameBytes: number): string {
  return `frames of ${frameBytes} bytes are too short; at least ${DEFAULT_FRAME_BYTES} are required`;
}

function spoken({ lowest, highest }: Versions): string {
  return lowest === highest ? `version ${lowest}` : `versions ${lowest} to ${highest}`;
}

function fnv1a(bytes: Uint8Array, from: number): number {
  let value = from;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
