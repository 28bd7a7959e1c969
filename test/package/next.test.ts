/**
 * A route of Next that carries a line through a tunnel, in `next dev`, `next start` and a standalone output. It takes
 * minutes, so it runs only by name: `npm run test:package -- next`. npm gets Next.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { installedPackage } from '../support/installed_package.js';
import { LineProcess } from '../support/line_process.js';
import { freePort } from '../support/loopback.js';
import { NpmTools } from '../support/npm_tools.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const HOST = '127.0.0.1';
const LINE = { status: 200, text: 'a line through the tunnel' };
const NEXT = 'next@15';
const BUILD_LIMIT_MS = 400_000;
const ENVIRONMENT = { NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: HOST };

const FILES = {
  'app/layout.jsx':
    'export default function Layout({ children }) { return <html><body>{children}</body></html>; }\n',
  'app/line/route.js': `import { roundTrip } from '../../round_trip.mjs';
    export const dynamic = 'force-dynamic';
    export const GET = async () => new Response(await roundTrip());\n`,
  'next.config.mjs': `export default {
    serverExternalPackages: ['tox-wasm-tunnel'],
    output: 'standalone',
    outputFileTracingRoot: import.meta.dirname,
  };\n`,
};

const { user, tarball } = installedPackage();
const folder = new TempFolder();
after(() => folder.remove());
const tools = new NpmTools(folder);

describe('a route of Next carries a line', () => {
  before(() => tools.install([NEXT, 'react@19', 'react-dom@19', tarball]));

  test('in next dev, next start, and a standalone output that is moved', async (context) => {
    const project = tools.folderOf(NEXT, context);
    if (project === undefined) return;
    cpSync(join(user, 'round_trip.mjs'), join(project, 'round_trip.mjs'));
    mkdirSync(join(project, 'app/line'), { recursive: true });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(project, name), text);
    const next = join(project, 'node_modules/next/dist/bin/next');
    assert.deepEqual(await answerOf([next, 'dev', project, '-H', HOST]), LINE);
    const built = await runProgram(process.execPath, [next, 'build', project], {
      env: { ...process.env, ...ENVIRONMENT },
      limitMs: BUILD_LIMIT_MS,
    });
    assert.equal(built.exitCode, 0, built.stdout + built.stderr);
    assert.deepEqual(await answerOf([next, 'start', project, '-H', HOST]), LINE);
    const alone = folder.file('moved');
    renameSync(join(project, '.next/standalone'), alone);
    assert.deepEqual(await answerOf([join(alone, 'server.js')]), LINE);
  });
});

/** Starts a server of Next, and returns what its route answers. */
async function answerOf(args: readonly string[]): Promise<{ status: number; text: string }> {
  const port = await freePort(); // the standalone server takes 0 for its default port
  const server = new LineProcess(process.execPath, args, { ...ENVIRONMENT, PORT: String(port) });
  try {
    await server.line(/Ready in/);
    const response = await fetch(`http://${HOST}:${port}/line`);
    return { status: response.status, text: await response.text() };
  } finally {
    await server.stop();
  }
}
