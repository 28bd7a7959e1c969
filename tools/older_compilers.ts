import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * `Uint8Array<ArrayBufferLike>`, as TypeScript writes the type of an expression. It means `Uint8Array`, and compilers
 * before 5.7 do not know the longer form.
 */
const DEFAULT_BUFFER = /\b((?:Ui|I)nt(?:8|16|32)Array|Buffer|DataView)<ArrayBufferLike>/g;

/** Rewrites the declarations below `folder` so that older compilers take them too. */
export function suitOlderCompilers(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    const file = join(folder, name);
    const text = readFileSync(file, 'utf8');
    const plain = text.replace(DEFAULT_BUFFER, '$1');
    if (plain !== text) writeFileSync(file, plain);
  }
}
