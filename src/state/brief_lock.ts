import { keepProcess, systemTimers, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { type LockAnswer, type LockHolder, type RoleLock, takeRoleLock } from './role_lock.js';

/** How long to wait for a process that holds a lock for a moment, in milliseconds. A passphrase takes a second. */
export const BRIEF_WAIT_MS = 10_000;
const LOOK_AGAIN_MS = 20;

export interface LockWish {
  /** Whether the caller too holds the lock for a moment only. */
  readonly isBrief: boolean;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers | undefined;
}

/**
 * Like {@link takeRoleLock}, but waits up to {@link BRIEF_WAIT_MS} for holders that soon release the lock. A process
 * that runs as the role keeps its lock, so nobody waits for it.
 */
export async function awaitRoleLock(
  folder: string,
  name: string,
  { isBrief, timers = systemTimers }: LockWish,
): Promise<LockAnswer> {
  const lastMs = timers.nowMs() + BRIEF_WAIT_MS;
  // Nothing else may be under way.
  const release = keepProcess();
  try {
    for (;;) {
      const answer = await takeRoleLock(folder, name, isBrief);
      if (answer.kind === 'held' || !answer.holder.isBrief || timers.nowMs() >= lastMs) return answer;
      await new Promise<void>((resolve) => timers.set(resolve, LOOK_AGAIN_MS));
    }
  } finally {
    release();
  }
}

/**
 * Takes the lock of a file that processes change for a moment, such as `names`. Waits for its turn.
 *
 * @throws {TunnelError} ERR_STATE_BUSY
 */
export async function takeBriefLock(
  folder: string,
  name: 'names' | 'nodes',
  timers: Timers | undefined,
): Promise<RoleLock> {
  const answer = await awaitRoleLock(folder, name, { isBrief: true, timers });
  if (answer.kind === 'held') return answer.lock;
  const { holder } = answer;
  throw new TunnelError(
    'ERR_STATE_BUSY',
    `${holderText(holder)} is changing the ${name} in ${folder}; ${briefAdvice(holder)}`,
  );
}

/** Names the holder of a lock: `process 7`, with its machine if that is another one. */
export function holderText({ pid, host, file }: LockHolder): string {
  const who = pid === 0 ? 'another process' : `process ${pid}`;
  if (host === undefined) return who;
  return `${who} on ${JSON.stringify(host)} (if that machine is gone, delete ${file})`;
}

/** What to do about a holder that should have released its lock by now. */
export function briefAdvice({ isBrief }: LockHolder): string {
  return isBrief ? `it did not end within ${BRIEF_WAIT_MS / 1000} s; try again, or stop it` : 'try again';
}
