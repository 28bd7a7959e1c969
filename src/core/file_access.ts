import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TunnelError } from './errors.js';

/** What to do when a folder or a file cannot be used. Every command that uses the folder has this option. */
export const WAY_OUT = 'choose another folder with --state DIR';

/** Permission bits for users who are neither the owner nor in the group of a file. */
const OTHERS = 0o007;

/** Whether we trust what a user has put somewhere: this user, or root, who can do everything anyway. */
export function isTrustedOwner(uid: number): boolean {
  return process.platform === 'win32' || uid === 0 || uid === process.geteuid?.();
}

/** Whether every user of the machine may use a file. Windows has no such modes, and pipes and devices keep no content. */
export function isForEveryone(stats: Stats, platform: NodeJS.Platform = process.platform): boolean {
  return platform !== 'win32' && stats.isFile() && (stats.mode & OTHERS) !== 0;
}

/** Formats the permission bits of a mode: `0644`. */
export function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

/**
 * Refuses a folder or a file of another user, who may know the keys and tickets in it. Root may use the folder of a
 * system service, which systemd keeps where only root can enter: nobody else can have put it there.
 *
 * @param folder the state folder, which may be `path` itself
 * @throws {TunnelError} ERR_STATE_INVALID
 */
export async function checkOwner(path: string, uid: number, folder: string): Promise<void> {
  if (isTrustedOwner(uid) || (await isOfService(folder, uid))) return;
  const own = process.geteuid?.() ?? 0;
  const asUser =
    own === 0
      ? 'run this as that user, or with sudo -H (sudo alone may keep the home folder of its caller), or '
      : '';
  throw new TunnelError(
    'ERR_STATE_INVALID',
    `${path}: it belongs to another user (uid ${uid}, this process has ${own}), who may know the secrets in it; ${asUser}${WAY_OUT}; if you trust its content, make it yours: chown -R ${own} ${path}`,
  );
}

/** Whether a user owns a state folder that lies in a folder of root that nobody else can enter. */
async function isOfService(folder: string, uid: number): Promise<boolean> {
  if (process.geteuid?.() !== 0) return false;
  const place = await realpath(folder);
  const [{ uid: owner }, parent] = await Promise.all([stat(place), stat(dirname(place))]);
  return owner === uid && parent.uid === 0 && (parent.mode & 0o077) === 0;
}
