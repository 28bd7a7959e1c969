/**
 * A complete tunnel on this machine, without any network: `npm run demo`. A bootstrap node, a listener in
 * front of a web server, and a connector run as separate processes, started as a user would start them. A
 * page and 32 MiB then come through the tunnel. Exits with 0 when every byte is right.
 */
import { createHash } from 'node:crypto';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import { CliProcess } from '../test/support/cli_process.js';
import { listenOnLoopback } from '../test/support/loopback.js';
import { patternDigest, patternStream } from '../test/support/pattern.js';
import { localsOf } from '../test/support/private_network.js';

const MIB = 1024 * 1024;
const FILE_BYTES = 32 * MIB;
const SEED = 'the demo';
const PAGE = 'Hello from the other end of the tunnel!';

/** How often the demo prints the throughput, in bytes. */
const TELL_EVERY_BYTES = 4 * MIB;

const start = performance.now();
const processes: CliProcess[] = [];
let server: Server | undefined;

function say(text: string): void {
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`${seconds.padStart(6)} s  ${text}\n`);
}

/** Starts the command line, and prints the command that a user would type; it leaves out only `--json`. */
function run(...args: readonly string[]): CliProcess {
  say(`$ tox-wasm-tunnel ${args.map(short).join(' ')}`);
  const started = CliProcess.start([...args, '--json']);
  processes.push(started);
  return started;
}

/** Shortens keys and tickets: nobody reads all the digits, and a ticket is a secret. */
function short(text: string): string {
  return text.replace(/[0-9A-Za-z]{64,}/, (key) => `${key.slice(0, 8)}…`);
}

async function demo(): Promise<void> {
  process.stdout.write('A tunnel over a private Tox network, all on this machine.\n\n');
  server = createServer((request, response) => {
    if (request.url === '/') response.end(PAGE);
    else patternStream(SEED, FILE_BYTES).pipe(response);
  });
  const webPort = await listenOnLoopback(server);
  say(`a web server listens on 127.0.0.1:${webPort}; only the listener connects to it`);

  // These options keep the demo on this machine, and it leaves nothing behind.
  const local = ['--bind', '127.0.0.1', '--no-lan', '--ephemeral'];
  const node = run('node', '--port', '0', '--tcp-port', '0', ...local);
  const bootstrap = String((await node.event('node'))['bootstrap']);
  say(`the first bootstrap node is up: ${short(bootstrap)}`);

  const join = ['--bootstrap', bootstrap, ...local];
  const listener = run('listen', '--expose', String(webPort), ...join);
  const ticket = String((await listener.event('ready'))['ticket']);
  say(`the listener is ready; its ticket is ${short(ticket)}`);

  const connector = run('connect', ticket, '-L', `0:localhost:${webPort}`, ...join);
  say('the two ends look each other up by their keys, which takes a few seconds');
  const online = await connector.event('peer', (event) => event['status'] === 'online');
  const forward = (await localsOf(connector))[0];
  if (forward === undefined) throw new Error('the connector reported no forward');
  const url = `http://${forward.host}:${forward.port}`;
  say(`connected, path: ${String(online['path'])}; ${url} now leads to the web server`);

  const page = await fetchAll(`${url}/`, () => {});
  if (page.text !== PAGE) throw new Error(`the page is wrong: "${page.text}"`);
  say(`GET /      "${page.text}" in ${page.ms.toFixed(0)} ms`);

  const file = await fetchAll(`${url}/file`, tellThroughput());
  const right = patternDigest(SEED, FILE_BYTES);
  if (file.bytes !== FILE_BYTES || file.sha256 !== right) {
    throw new Error(`the file is wrong: ${file.bytes} bytes with sha256 ${file.sha256}, not ${right}`);
  }
  const speed = file.bytes / MIB / (file.ms / 1000);
  say(`GET /file  32 MiB in ${(file.ms / 1000).toFixed(1)} s, ${speed.toFixed(1)} MiB/s`);
  say(`           sha256 ${right.slice(0, 16)}… is right: every byte is intact`);
}

/** Prints the throughput every few MiB. */
function tellThroughput(): (bytes: number, ms: number) => void {
  let next = TELL_EVERY_BYTES;
  return (bytes, ms) => {
    if (bytes < next) return;
    next += TELL_EVERY_BYTES;
    say(
      `           ${bar(bytes / FILE_BYTES)} ${String(Math.floor(bytes / MIB)).padStart(2)} MiB, ` +
        `${(bytes / MIB / (ms / 1000)).toFixed(1)} MiB/s`,
    );
  };
}

function bar(share: number): string {
  const full = Math.round(share * 24);
  return '█'.repeat(full) + '░'.repeat(24 - full);
}

interface Fetched {
  readonly bytes: number;
  readonly sha256: string;
  readonly ms: number;
  /** The start of the body, as text. */
  readonly text: string;
}

async function fetchAll(url: string, progress: (bytes: number, ms: number) => void): Promise<Fetched> {
  const begun = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent: false }, resolve).on('error', reject);
  });
  const hash = createHash('sha256');
  let bytes = 0;
  let text = '';
  await new Promise<void>((resolve, reject) => {
    response.on('data', (chunk: Buffer) => {
      if (bytes === 0) text = chunk.toString('utf8', 0, 200);
      hash.update(chunk);
      bytes += chunk.length;
      progress(bytes, performance.now() - begun);
    });
    response.on('end', resolve).on('error', reject);
  });
  return { bytes, sha256: hash.digest('hex'), ms: performance.now() - begun, text };
}

let stopping: Promise<unknown> | undefined;

/** Stops every process and the web server, once. */
async function stop(): Promise<void> {
  stopping ??= Promise.all(processes.map((started) => started.stop()));
  await stopping;
  server?.close();
  server?.closeAllConnections();
}

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    say(`${signal}: stopping`);
    void stop().finally(() => process.exit(exitCode));
  });
}

try {
  await demo();
  await stop();
  say('stopped everything; done');
} catch (error) {
  // After Ctrl-C the processes stop halfway, so an error is expected.
  if (stopping === undefined) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
    await stop();
  }
}
