import { errnoOf, TunnelError } from '../../core/errors.js';
import { looksLikeName } from '../../core/host.js';
import { quotedWord } from '../../core/secret_text.js';
import { systemReason } from '../../core/system_error.js';
import { type Context, defineCommand } from '../command.js';
import { output, sockets, state } from '../options/common_options.js';
import type { NetworkFlags, OutputFlags, StateFlags, UdpFlags } from '../options/flags.js';
import { wordsOf } from '../options/grammar.js';
import { environmentPassphrase } from '../options/passphrase.js';
import { remoteOf } from '../options/remote.js';
import { usage } from '../options/usage.js';
import { PROGRAM } from '../output/reporter.js';
import { type EndSignal, EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import { Resources } from '../process/resources.js';
import { PASSPHRASE_VARIABLE, PROXY_VARIABLE } from '../process/secret_variables.js';

interface SshFlags extends OutputFlags, StateFlags, NetworkFlags, UdpFlags {}

/** The options that the `connect` behind ssh gets too. */
const TUNNEL_OPTIONS = [...sockets(), ...state()];

const DESTINATION = { '<[USER@]NAME>': 'one of the names that list shows, with an optional user' };

export const ssh = defineCommand<SshFlags>({
  name: 'ssh',
  group: 'Names',
  summary: "Run the system's ssh through a tunnel to a name",
  stateOf: ['connect'],
  arguments: { ...DESTINATION, '[ARGUMENT...]': 'arguments of ssh: options and a command' },
  options: [...TUNNEL_OPTIONS, ...output()],
  configure: (command) => command.passThroughOptions(),
  help: `
Examples:
  $ tox-wasm-tunnel ssh home
  $ tox-wasm-tunnel ssh joe@home uptime
  $ tox-wasm-tunnel ssh home -p 2222 -L 8080:localhost:80
  $ tox-wasm-tunnel ssh --no-udp home          (put options of the tunnel before the name)

Arguments after the name go to ssh. Exits with the exit code of ssh.`,
  run: (context, { words: [destination = '', ...args], flags }) => runSsh(context, destination, args, flags),
});

const SIGNALS: readonly EndSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

async function runSsh(
  { io }: Context,
  destination: string,
  args: readonly string[],
  flags: SshFlags,
): Promise<ExitCode> {
  const { name } = await parseDestination(io, destination, flags);
  const proxy = proxyCommand(connectCommand(io, name, flags), io.platform);
  const passphrase = environmentPassphrase(io);
  const networkProxy = io.takeEnv(PROXY_VARIABLE);
  const resources = new Resources();
  try {
    const program = await io.startProgram(
      { words: ['ssh', '-o', `ProxyCommand=${proxy}`, destination, ...args] },
      // The connect behind ssh needs these, and our environment no longer has them.
      {
        ...(passphrase === undefined ? {} : { [PASSPHRASE_VARIABLE]: passphrase }),
        ...(networkProxy === undefined ? {} : { [PROXY_VARIABLE]: networkProxy }),
      },
    );
    for (const signal of SIGNALS) resources.push(io.onSignal(signal, () => program.kill(signal)));
    return await program.ended;
  } catch (cause) {
    throw new TunnelError('ERR_USAGE', whyNot(cause), { cause });
  } finally {
    await resources.release();
  }
}

export const sshConfig = defineCommand<SshFlags>({
  name: 'ssh-config',
  group: 'Names',
  summary: 'Print the lines for a name in ~/.ssh/config',
  stateOf: ['connect'],
  arguments: DESTINATION,
  options: [...TUNNEL_OPTIONS, ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel ssh-config home >> ~/.ssh/config
  $ tox-wasm-tunnel ssh-config joe@home

After that, these work: ssh home, scp FILE home:, rsync, git clone home:repository.`,
  run: (context, { words: [destination = ''], flags }) => runSshConfig(context, destination, flags),
});

async function runSshConfig(
  { io, reporter }: Context,
  destination: string,
  flags: SshFlags,
): Promise<ExitCode> {
  const { user, name } = await parseDestination(io, destination, flags);
  if (user !== undefined && !/^[^\s"'#%-][^\s"'#%]*$/.test(user))
    throw usage(
      `${JSON.stringify(user)} cannot be written to an ssh configuration safely; write its User line by hand`,
    );
  const command = connectCommand(io, name, flags);
  const lines = [
    `Host ${name}`,
    ...(user === undefined ? [] : [`  User ${user}`]),
    `  ProxyCommand ${proxyCommand(command, io.platform)}`,
  ];
  reporter.result(lines.join('\n'));
  if (command.some((word) => /[\\/]_npx[\\/]/.test(word)))
    reporter.people(
      `npx keeps ${PROGRAM} only for a while; install it (npm install --global) and run this again.`,
    );
  if (environmentPassphrase(io) !== undefined)
    reporter.people(
      `ssh needs ${PASSPHRASE_VARIABLE} in its environment every time; --passphrase-file FILE becomes part of the command.`,
    );
  return EXIT.ok;
}

/** The command behind ssh, without the target of `-W`. */
function connectCommand(io: CliIo, name: string, flags: SshFlags): string[] {
  return [...io.ownCommand, 'connect', name, ...wordsOf(TUNNEL_OPTIONS, { ...flags }), '-W'];
}

/** Parses `[USER@]NAME`. @throws {TunnelError} when the name is unknown, or the names cannot be read */
async function parseDestination(
  io: CliIo,
  destination: string,
  flags: SshFlags,
): Promise<{ readonly user: string | undefined; readonly name: string }> {
  const at = destination.lastIndexOf('@');
  const name = destination.slice(at + 1);
  // ssh would parse it as an option, and some of its options run programs.
  if (destination.startsWith('-'))
    throw usage(`${quotedWord(destination)} is not [USER@]NAME; write joe@home, or the name alone`);
  if (!looksLikeName(name)) {
    // A ticket would appear in the process list.
    throw usage(`ssh needs a name: ${PROGRAM} add home TICKET, then ${PROGRAM} ssh home`);
  }
  await remoteOf(io, name, undefined, flags);
  return { user: at < 0 ? undefined : destination.slice(0, at), name: name.toLowerCase() };
}

function whyNot(cause: unknown): string {
  const code = errnoOf(cause);
  if (code === 'ENOENT') return 'ssh is not on the PATH; install OpenSSH';
  if (code === 'ERR_ACCESS_DENIED')
    return 'Node may not start programs here; run it with --allow-child-process';
  return `cannot run ssh: ${systemReason(cause)}`;
}

/** Text that needs no quotes in any shell. `%` is special to ssh. */
const PLAIN = /^[\w@+=:,./-]+$/;

/**
 * Formats a command as the value of ssh's `ProxyCommand`. ssh replaces `%p` with the port.
 *
 * @param words the arguments, without the target at the end
 * @throws {TunnelError} ERR_USAGE for a word that cannot be quoted
 */
export function proxyCommand(words: readonly string[], platform: NodeJS.Platform): string {
  return [...words.map((word) => quoted(word, platform)), 'localhost:%p'].join(' ');
}

/**
 * Quotes a word for the shell that ssh uses, and doubles its per cent signs. On Windows that is a POSIX shell
 * or none; slashes and double quotes suit both.
 */
function quoted(word: string, platform: NodeJS.Platform): string {
  // A line end would end the line of the configuration.
  if (/[\r\n\0]/.test(word)) throw usage(`${JSON.stringify(word)} cannot be part of an ssh configuration`);
  const escaped = word.replaceAll('%', '%%');
  if (platform === 'win32') {
    // Windows paths contain none of these, and no escape works in all shells.
    if (/["$`]/.test(word))
      throw usage(`${JSON.stringify(word)} cannot be part of a ProxyCommand on Windows`);
    const slashed = escaped.replaceAll('\\', '/');
    return PLAIN.test(slashed) ? slashed : `"${slashed}"`;
  }
  return PLAIN.test(escaped) ? escaped : `'${escaped.replaceAll("'", "'\\''")}'`;
}
