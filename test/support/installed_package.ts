/** What the runner of the package's tests (`test/package.ts`) hands to them. */
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
  /** A folder with nothing but the installed tarball, its dependencies and the programs of the tests. */
  readonly user: string;
  readonly nodes: readonly TriedNode[];
  /** npx as a script for `node`. */
  readonly npx: string;
}

export function installedPackage(): InstalledPackage {
  const text = process.env[INSTALLED_PACKAGE];
  if (text === undefined) throw new Error('these tests are run by npm run test:package');
  const read = JSON.parse(text) as InstalledPackage; // the runner has written exactly this
  // Permissions are about real paths, and on macOS the folder for temporary files is a link.
  return { ...read, user: realpathSync(read.user) };
}

/** The program of the installed package, for `node FILE`. */
export function installedMain({ user }: InstalledPackage): string {
  return join(user, 'node_modules', 'tox-wasm-tunnel', 'dist', 'cli', 'main.js');
}

/** What a Node has the permission model by: in 20 it was an experiment. */
export function permissionFlag({ version }: TriedNode): string {
  return version.startsWith('v20.') ? '--experimental-permission' : '--permission';
}
