import type { Stats } from 'node:fs';

/** Permission bits of users who are neither the owner nor in the group of a file. */
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
