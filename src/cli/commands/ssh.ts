import { looksLikeName } from '../../access/name.js';
import { errnoOf, TunnelError } from '../../core/errors.js';
import {
  type NetworkFlags,
  type OutputFlags,
  type StateFlags,
  type UdpFlags,
  usage,
} from '../options/flags.js';
import { variableOf } from '../options/passphrase.js';
import { remoteOf } from '../options/remote.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import { EXIT } from '../process/exit_codes.js';
import type { CliIo, EndSignal } from '../process/io.js';
import { PASSPHRASE_VARIABLE, PROXY_VARIABLE } from '../process/secret_variables.js';
import type { Context } from '../service/serve.js';
import { proxyCommand } from './ssh_proxy_command.js';

export interface SshFlags extends OutputFlags, StateFlags, NetworkFlags, UdpFlags {}

const SIGNALS: readonly EndSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs the system's ssh through a tunnel to a name's listener, and ends as it does.
 *
 * @param destination `[USER@]NAME`
 * @param args for ssh, as they are
 * @param words of ours for the `connect` that ssh runs
 */
export async function sshCommand(
  { io }: Context,
  destination: string,
  args: readonly string[],
  flags: SshFlags,
  words: readonly string[],
): Promise<ExitCode> {
  const { name } = await known(io, destination, flags);
  const proxy = proxyCommand(connectWords(io, name, words), io.platform);
  const passphrase = variableOf(io);
  const networkProxy = io.takeEnv(PROXY_VARIABLE);
  const forgets: Array<() => void> = [];
  try {
    const ssh = await io.startProgram(
      { words: ['ssh', '-o', `ProxyCommand=${proxy}`, destination, ...args] },
      // Ours are gone from the environment, and the connect that ssh runs needs them.
      {
        ...(passphrase === undefined ? {} : { [PASSPHRASE_VARIABLE]: passphrase }),
        ...(networkProxy === undefined ? {} : { [PROXY_VARIABLE]: networkProxy }),
      },
    );
    for (const signal of SIGNALS) forgets.push(io.onSignal(signal, () => ssh.kill(signal)));
    return await ssh.ended;
  } catch (cause) {
    throw new TunnelError('ERR_USAGE', whyNot(cause), { cause });
  } finally {
    for (const forget of forgets) forget();
  }
}

/** Prints what ssh, scp, rsync and git need in `~/.ssh/config` to reach a name's listener. */
export async function sshConfigCommand(
  { io, reporter }: Context,
  destination: string,
  flags: SshFlags,
  words: readonly string[],
): Promise<ExitCode> {
  const { user, name } = await known(io, destination, flags);
  if (user !== undefined && !/^[^\s"'#%-][^\s"'#%]*$/.test(user))
    throw usage(
      `${JSON.stringify(user)} cannot stand in a configuration of ssh as it is; write its User line by hand`,
    );
  const command = connectWords(io, name, words);
  const lines = [
    `Host ${name}`,
    ...(user === undefined ? [] : [`  User ${user}`]),
    `  ProxyCommand ${proxyCommand(command, io.platform)}`,
  ];
  reporter.result(lines.join('\n'));
  if (command.some((word) => /[\\/]_npx[\\/]/.test(word)))
    reporter.people(
      `npx keeps ${PROGRAM} for a while only; install it (npm install --global) and print this anew.`,
    );
  if (variableOf(io) !== undefined)
    reporter.people(
      `ssh needs ${PASSPHRASE_VARIABLE} in its environment each time; with --passphrase-file FILE it stands in the command.`,
    );
  return EXIT.ok;
}

function connectWords(io: CliIo, name: string, words: readonly string[]): string[] {
  return [...io.ownCommand, 'connect', name, ...words, '-W'];
}

/** The parts of `[USER@]NAME`. @throws {TunnelError} when nobody is called so, or the names cannot be opened */
async function known(
  io: CliIo,
  destination: string,
  flags: SshFlags,
): Promise<{ readonly user: string | undefined; readonly name: string }> {
  const at = destination.lastIndexOf('@');
  const name = destination.slice(at + 1);
  // ssh would take it for an option, and some of its options run programs.
  if (destination.startsWith('-')) throw usage(`${JSON.stringify(destination)} is no [USER@]NAME`);
  if (!looksLikeName(name)) {
    // A ticket would stand in the list of processes, for all to see.
    throw usage(`ssh goes by names: ${PROGRAM} add home TICKET, then ${PROGRAM} ssh home`);
  }
  await remoteOf(io, name, undefined, flags);
  return { user: at < 0 ? undefined : destination.slice(0, at), name: name.toLowerCase() };
}

function whyNot(cause: unknown): string {
  const code = errnoOf(cause);
  if (code === 'ENOENT') return 'there is no program ssh on the PATH; install OpenSSH';
  if (code === 'ERR_ACCESS_DENIED')
    return 'Node may start no programs here: run it with --allow-child-process';
  return `ssh cannot be run: ${cause instanceof Error ? cause.message : String(cause)}`;
}
