import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What keeps another user's service from running a program. */
export type PlaceTrouble =
  /** Gone at the next boot, and not seen with PrivateTmp. */
  | { readonly kind: 'temporary'; readonly file: string }
  /** In a home folder, or behind a folder that its owner alone may enter. */
  | { readonly kind: 'private'; readonly file: string; readonly ownerId: number };

const HOMES = /^\/(root|home\/[^/]+|run\/user\/[^/]+)(?=\/|$)/;
const TEMPORARY = /^(\/var)?\/tmp(\/|$)/;
const OTHERS_ENTER = 0o001;
const OTHERS_READ = 0o004;

/** The first of the files that a service with a user of its own could not use; undefined when it can use all. */
export async function placeTrouble(files: readonly string[]): Promise<PlaceTrouble | undefined> {
  for (const named of files) {
    const file = await realpath(named);
    for (const path of [named, file]) if (TEMPORARY.test(path)) return { kind: 'temporary', file: path };
    for (const path of [named, file]) {
      const [home] = HOMES.exec(path) ?? [];
      if (home !== undefined) return { kind: 'private', file: path, ownerId: (await stat(home)).uid };
    }
    const ownerId = await closedBy(file);
    if (ownerId !== undefined) return { kind: 'private', file, ownerId };
  }
  return undefined;
}

/** Who owns what keeps others from a file; undefined when nothing does. */
async function closedBy(file: string): Promise<number | undefined> {
  let needed = OTHERS_READ;
  for (let path = file; ; path = dirname(path)) {
    const { mode, uid } = await stat(path);
    if ((mode & needed) === 0) return uid;
    if (path === dirname(path)) return undefined;
    needed = OTHERS_ENTER;
  }
}
