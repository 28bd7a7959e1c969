/**
 * A user name and password for a proxy, 1 to 255 bytes each (RFC 1929); the name has no colon, which HTTP could not
 * tell from its end (RFC 7617).
 */
export interface ProxyCredentials {
  readonly user: string;
  readonly password: string;
}

/** Longest user name and password, in bytes. Source: RFC 1929, where each stands behind one byte of length. */
export const MAX_CREDENTIAL_BYTES = 255;

/** A user name or a password. */
export function fitsCredential(text: string): boolean {
  const bytes = Buffer.byteLength(text);
  return bytes >= 1 && bytes <= MAX_CREDENTIAL_BYTES;
}
