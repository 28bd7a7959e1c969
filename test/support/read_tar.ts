/** A file in a tar archive. */
export interface TarEntry {
  readonly name: string;
  readonly bytes: number;
}

/** A tar archive consists of blocks of this many bytes: a header, then the content of the file. */
const BLOCK_BYTES = 512;

/**
 * Returns the files of an archive as npm makes them (POSIX ustar). A path that is too long for the format is
 * an error.
 */
export function readTar(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  let at = 0;
  while (at + BLOCK_BYTES <= archive.length && archive[at] !== 0) {
    const text = (from: number, length: number): string => {
      const field = archive.toString('utf8', at + from, at + from + length);
      return field.split('\0')[0] ?? '';
    };
    const bytes = Number.parseInt(text(124, 12), 8);
    const type = text(156, 1);
    if (!(bytes >= 0)) throw new Error(`no tar header at byte ${at}`);
    if (type !== '0') throw new Error(`${text(0, 100)} is not a plain file but has type ${type}`);
    const prefix = text(345, 155);
    entries.push({ name: prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`, bytes });
    at += BLOCK_BYTES + Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return entries;
}
