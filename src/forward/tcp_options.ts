/** Time without a byte, in milliseconds, after which the kernel asks whether the other end still lives. */
const KEEP_ALIVE_MS = 60_000;

/** Of every TCP connection that is carried, accepted or dialled: with half-close, and without Nagle's delay. */
export const TCP_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_MS,
} as const;
