/** What the runner of the package tests (`test/package.ts`) passes to them. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';

/** The environment variable that holds an {@link InstalledPackage} as JSON. */
export const INSTALLED_PACKAGE = 'TOX_WASM_TUNNEL_INSTALLED';

export interface TriedNode {
  /** `v22.1.0` */
  readonly version: string;
  readonly execPath: string;
}

export interface InstalledPackage {
  readonly tarball: string;
  /** A folder with only the installed tarball, its dependencies and the programs of the tests. */
  readonly user: string;
  readonly nodes: readonly TriedNode[];
  /** The npx script, to run with `node`. */
  readonly npx: string;
}

export function installedPackage(): InstalledPackage {
  const text = process.env[INSTALLED_PACKAGE];
  if (text === undefined) throw new Error('run these tests with npm run test:package');
  const read = JSON.parse(text) as InstalledPackage; // the runner wrote exactly this
  // Permissions apply to real paths, and on macOS the folder for temporary files is a link.
  return { ...read, user: realpathSync(read.user) };
}

/** The program of the installed package, for `node FILE`. */
export function installedMain({ user }: InstalledPackage): string {
  return join(user, 'node_modules', 'tox-wasm-tunnel', 'dist', 'cli', 'main.js');
}

/** The flag that enables the permission model, which was experimental in Node 20. */
export function permissionFlag({ version }: TriedNode): string {
  return version.startsWith('v20.') ? '--experimental-permission' : '--permission';
}
