/** Programs on the system's own toxcore, to check that ours speaks the same protocol. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LineProcess } from './line_process.js';
import { freePort, LOOPBACK_HOST } from './loopback.js';
import { runProgram } from './run_program.js';
import type { TempFolder } from './temp_folder.js';

const clientSource = fileURLToPath(new URL('./native_client.c', import.meta.url));

/** Compiles native_client.c; returns the path of the program. */
export async function buildNativeClient(folder: TempFolder): Promise<string> {
  const program = folder.file('native_client');
  const { exitCode, stderr } = await runProgram('cc', ['-o', program, clientSource, '-ltoxcore']);
  if (exitCode !== 0) throw new Error(`cc ${clientSource}: ${stderr}`);
  return program;
}

/** Debian's tox-bootstrapd on the loopback, with a TCP relay on the same port number. */
export class ToxBootstrapd {
  /** `HOST:PORT:KEY` */
  readonly bootstrap: string;
  readonly #process: LineProcess;

  private constructor(bootstrap: string, process: LineProcess) {
    this.bootstrap = bootstrap;
    this.#process = process;
  }

  static async start(folder: TempFolder): Promise<ToxBootstrapd> {
    const port = await freePort(); // it does not accept port 0
    const config = [
      `port = ${port}`,
      `keys_file_path = "${folder.file('bootstrapd_keys')}"`,
      `pid_file_path = "${folder.file('bootstrapd.pid')}"`,
      'enable_ipv6 = false',
      'enable_ipv4_fallback = true',
      'enable_lan_discovery = false',
      'enable_tcp_relay = true',
      `tcp_relay_ports = [${port}]`,
      'enable_motd = false',
      '',
    ];
    writeFileSync(folder.file('bootstrapd.conf'), config.join('\n'));
    const args = ['--config', folder.file('bootstrapd.conf'), '--foreground', '--log-backend', 'stdout'];
    const process = new LineProcess('tox-bootstrapd', args);
    const [, key] = await process.line(/Public Key: ([0-9A-F]{64})/);
    await process.line(/Initialized Tox TCP server/);
    return new ToxBootstrapd(`${LOOPBACK_HOST}:${port}:${key}`, process);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
