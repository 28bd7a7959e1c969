import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CliProcess, FROM_SOURCES } from '../test/support/cli_process.js';
import { LineProcess } from '../test/support/line_process.js';
import { freePort, LOOPBACK_HOST } from '../test/support/loopback.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { SSH, SSHD, skipWithout } from '../test/support/programs.js';
import { SshServer } from '../test/support/ssh_server.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { hypertele } from './hypertele.js';
import type { Way, WayProcess } from './way.js';

const builtMain = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const losslessProgram = fileURLToPath(new URL('./lossless/lossless_program.ts', import.meta.url));

/** No tunnel at all: the best that this machine and the benchmark itself can do. */
const direct: Way = {
  name: 'direct TCP',
  start: async (targetPort) => ({ port: targetPort, processes: [], connectMs: 0, stop: async () => {} }),
};

/** @param built runs dist/ instead of the sources through tsx */
function tunnel(built: boolean): Way {
  return {
    ...tunnelOf('tox-wasm-tunnel', built ? [process.execPath, builtMain] : FROM_SOURCES),
    unavailable: () => (built && !existsSync(builtMain) ? 'needs dist/ (npm run build)' : undefined),
  };
}

/** The tunnel over lossless packets of toxcore, always from the sources. */
const lossless = tunnelOf('lossless channel', [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  losslessProgram,
]);

/** @param program the argument list that runs the command line, without its own arguments */
function tunnelOf(name: string, program: readonly string[]): Way {
  return {
    name,
    start: async (targetPort) => {
      const network = await PrivateNetwork.start({ program });
      try {
        const { listener, ticket } = await network.listen([String(targetPort)]);
        const begun = performance.now();
        const { connector, locals } = await network.connect(ticket, [`0:${LOOPBACK_HOST}:${targetPort}`]);
        const connectMs = performance.now() - begun;
        const [local] = locals;
        if (local === undefined) throw new Error('the connector reported no forward');
        const processes = [processOf('listener', listener), processOf('connector', connector)];
        return { port: local.port, processes, connectMs, stop: () => network.stop() };
      } catch (error) {
        await network.stop();
        throw error;
      }
    },
  };
}

/** The tunnel that everybody has, over the loopback. Unlike ours, it needs a reachable server. */
const ssh: Way = {
  name: 'ssh -L',
  unavailable: () => skipWithout(SSH, SSHD) || undefined,
  start: async (targetPort) => {
    const folder = new TempFolder();
    const server = await SshServer.start(folder);
    const port = await freePort(); // with port 0, ssh does not report the port it picks
    const begun = performance.now();
    const forward = `${LOOPBACK_HOST}:${port}:${LOOPBACK_HOST}:${targetPort}`;
    // ssh uses the first value of each option, so these precede the common ones.
    const options = ['-o', 'LogLevel=DEBUG', '-o', 'ExitOnForwardFailure=yes', ...server.clientOptions()];
    const args = [...options, '-N', '-L', forward, '-p', String(server.port), server.login()];
    const client = new LineProcess('ssh', args);
    await client.line(/Entering interactive session/);
    return {
      port,
      processes: [
        { name: 'sshd', pid: server.pid },
        { name: 'ssh', pid: client.pid },
      ],
      connectMs: performance.now() - begun,
      stop: async () => {
        await client.stop();
        await server.stop();
        folder.remove();
      },
    };
  },
};

/** Returns all ways to a port, starting with the bare machine. */
export function allWays(options: { readonly built: boolean }): readonly Way[] {
  return [direct, tunnel(options.built), lossless, ssh, hypertele];
}

function processOf(name: string, { child }: CliProcess): WayProcess {
  if (child.pid === undefined) throw new Error(`${name} has no process`);
  return { name, pid: child.pid };
}
