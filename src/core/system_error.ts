import { errnoOf } from './errors.js';

/** What a code of the system means for a file or a folder, and what to do. */
const REASONS: Readonly<Record<string, readonly [meaning: string, advice: string]>> = {
  EACCES: ['permission denied', 'change its permissions, or run this as another user'],
  EPERM: ['permission denied', 'change its permissions, or run this as another user'],
  EBUSY: ['another program uses it', 'try again'],
  EDQUOT: ['the disk quota is used up', 'free some space'],
  EEXIST: ['a file of this name is in the way', 'choose another name'],
  EFBIG: ['the file would be longer than the system allows', 'raise the limit'],
  EISDIR: ['it is a folder', 'name a file'],
  ELOOP: ['its symbolic links form a loop', 'correct them'],
  EMFILE: ['this process has too many open files', 'close some connections'],
  ENAMETOOLONG: ['the path is too long', 'choose a shorter one'],
  ENFILE: ['the system has too many open files', 'close some programs'],
  ENOENT: ['there is no such file or folder', 'check the path'],
  ENOSPC: ['the disk is full', 'free some space'],
  ENOTDIR: ['a part of the path is a file, not a folder', 'check the path'],
  EROFS: ['the file system is read-only', 'choose another path'],
  ERR_ACCESS_DENIED: [
    "Node's permission model forbids it",
    'allow it with --allow-fs-read or --allow-fs-write',
  ],
};

/**
 * Says what went wrong and what to do, in place of the system's own text.
 *
 * @returns words that follow a name and a colon: `the disk is full (ENOSPC); free some space`. For a code that is not
 *   known here, the system's text
 */
export function systemReason(error: unknown): string {
  const code = errnoOf(error);
  const [meaning, advice] = REASONS[code ?? ''] ?? [];
  if (meaning !== undefined) return `${meaning} (${code}); ${advice}`;
  return error instanceof Error ? error.message : String(error);
}
