import { TunnelError } from '../../core/errors.js';

/** The error for a frame that breaks docs/protocol.md: the peer's fault, and the end of its session. */
export function violation(detail: string): TunnelError {
  return new TunnelError('ERR_FRAME_INVALID', `${detail}; the session with this peer has to be closed`, {
    remote: true,
  });
}
