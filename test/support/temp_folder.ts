import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A temporary folder for one test file; `remove` deletes it with everything in it. */
export class TempFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'tox-wasm-tunnel-'));

  file(name: string): string {
    return join(this.path, name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
