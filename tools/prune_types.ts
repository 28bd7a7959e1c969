import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/**
 * Matches `from './x.js'`, `import('./x.js')` and `import './x.js'`, as TypeScript writes them into
 * declarations.
 */
const RELATIVE_IMPORT = /(?:from|import)\s*\(?\s*['"](\.[^'"]+)\.js['"]/g;

/**
 * Deletes the declarations below `folder` that no entry reaches, for example those of the command line.
 *
 * @param entries declarations, relative to `folder`
 */
export function pruneTypes(folder: string, entries: readonly string[]): void {
  const reached = new Set<string>();
  const toRead = entries.map((entry) => join(folder, entry));
  for (let file = toRead.pop(); file !== undefined; file = toRead.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(RELATIVE_IMPORT))
      toRead.push(resolve(dirname(file), `${path}.d.ts`));
  }
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const file = join(folder, name);
    if (name.endsWith('.d.ts') && !reached.has(file)) rmSync(file);
  }
}
