// Measures the time from the start of `connect` to the first byte through its forward. Run: npx tsx
// bench/connect.ts --help
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type CliProcess, FROM_SOURCES } from '../test/support/cli_process.js';
import { freePort, LOOPBACK_HOST } from '../test/support/loopback.js';
import { localsOf, PrivateNetwork } from '../test/support/private_network.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { startTarget } from './own_process.js';
import { quantile } from './quantiles.js';
import { table } from './table.js';
import { openEcho } from './target.js';

const builtMain = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** How long the listener is up before the connector starts. */
const LEADS_S = [2, 30] as const;
/**
 * How long the listener is down during a restart, and how long a connector waits for a listener that does not
 * run yet.
 */
const AWAY_S = 10;
/** How long a session lasts before one end starts again: by then both have noted where the other is. */
const REMEMBERED_S = 3;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    case: { type: 'string', multiple: true, default: [] },
    built: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

interface Took {
  /** Milliseconds until the peer was online, and until a byte came back through the tunnel. */
  readonly online: number;
  readonly firstByte: number;
}

type Measure = (network: PrivateNetwork, way: readonly string[], targetPort: number) => Promise<Took>;

const pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * Dials until a byte comes back, because a forward closes a connection that has waited too long for its peer.
 */
async function byteBack(port: number): Promise<void> {
  for (let came = false; !came; ) {
    const socket = openEcho(port);
    socket.write('x');
    came = await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true)).once('close', () => resolve(false));
    });
    socket.destroy();
  }
}

/** Measures from `begun`. Dials as soon as the forward is up, and then waits, as a user would. */
async function until(connector: CliProcess, begun: number): Promise<Took> {
  const port = await portOf(connector);
  const [online] = await Promise.all([onlineAgain(connector), byteBack(port)]);
  return { online: online - begun, firstByte: performance.now() - begun };
}

/** The local port of the connector's forward, once it is open. */
async function portOf(connector: CliProcess): Promise<number> {
  const [local] = await localsOf(connector);
  if (local === undefined) throw new Error('the connector reported no forward');
  return local.port;
}

async function onlineAgain(connector: CliProcess): Promise<number> {
  await connector.event('peer', (event) => event['status'] === 'online');
  return performance.now();
}

function startConnector(
  network: PrivateNetwork,
  ticket: string,
  port: number,
  way: readonly string[],
  state: readonly string[] = ['--ephemeral'],
): CliProcess {
  const forward = `0:${LOOPBACK_HOST}:${port}`;
  return network.start('connect', ticket, ...state, '-L', forward, ...way);
}

/** A connector starts with the state of an earlier run, which knows where the listener was. */
const connectorAgain: Measure = async (network, way, targetPort) => {
  const folder = new TempFolder();
  try {
    const { ticket } = await network.listen([String(targetPort)], ...way);
    const state = ['--state', folder.path];
    const first = startConnector(network, ticket, targetPort, way, state);
    await until(first, 0);
    await pause(REMEMBERED_S);
    await first.stop();
    const begun = performance.now();
    return await until(startConnector(network, ticket, targetPort, way, state), begun);
  } finally {
    folder.remove();
  }
};

/** The listener has been up for this long when the connector starts. */
function upFor(seconds: number): Measure {
  return async (network, way, targetPort) => {
    const { ticket } = await network.listen([String(targetPort)], ...way);
    await pause(seconds);
    const begun = performance.now();
    return await until(startConnector(network, ticket, targetPort, way), begun);
  };
}

/** A listener ends while a connector stays, and starts again at once with its state. */
function listenerAgain(signal: 'SIGTERM' | 'SIGKILL'): Measure {
  return async (network, way, targetPort) => {
    const folder = new TempFolder();
    try {
      const options = ['--state', folder.path, ...way];
      const { listener, ticket } = await network.listen([String(targetPort)], ...options);
      const connector = startConnector(network, ticket, targetPort, way);
      await until(connector, 0);
      await pause(REMEMBERED_S);
      listener.child.kill(signal);
      await once(listener.child, 'close');
      const begun = performance.now();
      const back = connector
        .nextEvent('peer', (event) => event['status'] === 'online')
        .then(() => performance.now());
      network.start('listen', '--expose', String(targetPort), ...options);
      const online = (await back) - begun;
      await byteBack(await portOf(connector));
      return { online, firstByte: performance.now() - begun };
    } finally {
      folder.remove();
    }
  };
}

/** Measures from the start of a listener; `known` means that the connector had a session with it before. */
function listenerStarts(known: boolean): Measure {
  return async (network, way, targetPort) => {
    const folder = new TempFolder();
    try {
      const options = ['--state', folder.path, ...way];
      const { listener, ticket } = await network.listen([String(targetPort)], ...options);
      if (!known) await listener.stop();
      const connector = startConnector(network, ticket, targetPort, way);
      if (known) {
        await until(connector, 0);
        await listener.stop();
        await connector.event('peer', (event) => event['status'] === 'offline');
      }
      await pause(AWAY_S);
      const begun = performance.now();
      const back = known
        ? connector.nextEvent('peer', (event) => event['status'] === 'online')
        : onlineAgain(connector);
      await network.listen([String(targetPort)], ...options);
      await back;
      const online = performance.now() - begun;
      await byteBack(await portOf(connector));
      return { online, firstByte: performance.now() - begun };
    } finally {
      folder.remove();
    }
  };
}

const CASES: readonly (readonly [string, Measure])[] = [
  ...LEADS_S.map((seconds) => [`listener up for ${seconds} s`, upFor(seconds)] as const),
  ['connector starts again', connectorAgain],
  ['listener starts again at once', listenerAgain('SIGTERM')],
  ['listener is killed and starts at once', listenerAgain('SIGKILL')],
  [`listener starts ${AWAY_S} s after the connector`, listenerStarts(false)],
  [`listener restarts after ${AWAY_S} s`, listenerStarts(true)],
];

const WAYS = [
  ['direct', []],
  ['relay alone', ['--no-udp']],
] as const;

async function main(runs: number): Promise<void> {
  const target = await startTarget(1);
  const rows: (string | number)[][] = [];
  for (const [way, options] of WAYS) {
    for (const [name, measure] of CASES) {
      const title = `${way}: ${name}`;
      if (values.case.length > 0 && !values.case.some((part) => title.includes(part))) continue;
      const all: Took[] = [];
      for (let run = 0; run < runs; run++) {
        // Each run has its own network: what the nodes remember of an earlier run would help this one.
        const program = values.built ? [process.execPath, builtMain] : FROM_SOURCES;
        // The relay runs on the same port; without UDP no client would find it elsewhere.
        const network = await PrivateNetwork.start({ program }, ['--port', String(await freePort())]);
        try {
          const took = await measure(network, options, target.port);
          all.push(took);
          process.stderr.write(`${title}: ${took.online.toFixed(0)} ms, ${took.firstByte.toFixed(0)} ms\n`);
        } finally {
          await network.stop();
        }
      }
      const firsts = all.map(({ firstByte }) => firstByte);
      const onlines = all.map(({ online }) => online);
      rows.push([
        title,
        runs,
        quantile(onlines, 0.5) / 1000,
        ...[0, 0.5, 1].map((q) => quantile(firsts, q) / 1000),
      ]);
    }
  }
  await target.stop();
  const heads = ['case', 'runs', 'online s', 'first byte, min s', 'median s', 'max s'];
  process.stdout.write(table(heads, rows, 2));
}

const runs = Number(values.runs);
if (values.help) {
  process.stdout.write(`Measure how long a tunnel takes to carry its first byte. Every end runs in a separate
process, and a private bootstrap node on the loopback joins them.

  --runs N     measure each case N times (default 3)
  --case PART  measure only cases whose name contains PART; repeatable
  --built      run tox-wasm-tunnel from dist/ instead of from the sources through tsx
  --help       show this help
`);
} else if (Number.isSafeInteger(runs) && runs > 0) {
  await main(runs);
} else {
  process.stderr.write(`--runs ${values.runs}: expected a whole number above 0, for example --runs 3\n`);
  process.exitCode = 2;
}
