import { createHash, timingSafeEqual } from 'node:crypto';
import type { ProxyCredentials } from '../../core/proxy.js';
import type { Authorize } from './proxy_handshake.js';

/** Compares in a time that tells nothing of what was wrong. */
export function authorizer({ user, password }: ProxyCredentials): Authorize {
  const wantedUser = digest(Buffer.from(user));
  const wantedPassword = digest(Buffer.from(password));
  return (givenUser, givenPassword) => {
    const isUser = timingSafeEqual(digest(givenUser), wantedUser);
    const isPassword = timingSafeEqual(digest(givenPassword), wantedPassword);
    return isUser && isPassword;
  };
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
