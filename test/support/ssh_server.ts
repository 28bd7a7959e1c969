import { writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { LineProcess } from './line_process.js';
import { freePort, LOOPBACK_HOST } from './loopback.js';
import { SSHD } from './programs.js';
import { runProgram } from './run_program.js';
import type { TempFolder } from './temp_folder.js';

/** Debian's sshd on a high loopback port, with throw-away keys and its own configuration. */
export class SshServer {
  readonly port: number;
  readonly #process: LineProcess;
  readonly #folder: TempFolder;

  private constructor(process: LineProcess, port: number, folder: TempFolder) {
    this.#process = process;
    this.port = port;
    this.#folder = folder;
  }

  /** Resolves when it listens; its files are in `folder`. */
  static async start(folder: TempFolder): Promise<SshServer> {
    const port = await freePort(); // sshd does not accept port 0
    for (const key of ['host_key', 'user_key']) {
      await mustRun('ssh-keygen', [
        '-q',
        '-t',
        'ed25519',
        '-N',
        '',
        '-C',
        'throw-away',
        '-f',
        folder.file(key),
      ]);
    }
    const config = [
      `ListenAddress ${LOOPBACK_HOST}:${port}`,
      `HostKey ${folder.file('host_key')}`,
      `AuthorizedKeysFile ${folder.file('user_key.pub')}`,
      'PidFile none',
      'UsePAM no',
      'StrictModes no', // temporary folders may be writable for others
      'PasswordAuthentication no',
      'PermitRootLogin prohibit-password',
      'Subsystem sftp internal-sftp',
      'MaxStartups 100',
      '',
    ];
    writeFileSync(folder.file('sshd_config'), config.join('\n'));
    if (userInfo().uid === 0) await mustRun('mkdir', ['-p', '/run/sshd']); // the chroot of sshd
    const args = ['-D', '-e', '-f', folder.file('sshd_config')];
    const process = new LineProcess(SSHD.file, args);
    await process.line(/^Server listening/);
    return new SshServer(process, port, folder);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Its output so far, for a test that fails. */
  get log(): string {
    return this.#process.lines.join('\n');
  }

  /**
   * Options that make `ssh` or `scp` log in here without a prompt, whatever the user's own configuration
   * says.
   */
  clientOptions(): string[] {
    const options = {
      BatchMode: 'yes',
      IdentitiesOnly: 'yes',
      IdentityFile: this.#folder.file('user_key'),
      StrictHostKeyChecking: 'no',
      UserKnownHostsFile: '/dev/null',
      LogLevel: 'ERROR',
    };
    return ['-F', 'none', ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  }

  /** `USER@127.0.0.1`, with the user that runs the tests. */
  login(): string {
    return `${userInfo().username}@${LOOPBACK_HOST}`;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}

async function mustRun(command: string, args: readonly string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await runProgram(command, args);
  if (exitCode !== 0)
    throw new Error(`${command} ${args.join(' ')}: exit code ${exitCode}\n${stdout}${stderr}`);
}
