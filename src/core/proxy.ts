/** A proxy between this machine and the Tox network. It can reach TCP relays only. */
export interface ProxyAddress {
  readonly protocol: 'socks5' | 'http';
  /** A name or a numeric address, without brackets. The system resolves a name. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** Default: no authentication. */
  readonly credentials?: ProxyCredentials;
}

/**
 * A user name and a password for a proxy, 1 to 255 bytes each (RFC 1929). The name contains no colon, because HTTP
 * ends the name at the first one (RFC 7617).
 */
export interface ProxyCredentials {
  readonly user: string;
  readonly password: string;
}

/** Longest user name and longest password, in bytes. Source: RFC 1929, which gives each a length of one byte. */
export const MAX_CREDENTIAL_BYTES = 255;

/** Whether a user name or a password has a length that a proxy accepts. */
export function fitsCredential(text: string): boolean {
  const bytes = Buffer.byteLength(text);
  return bytes >= 1 && bytes <= MAX_CREDENTIAL_BYTES;
}
