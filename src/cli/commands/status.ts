import * as v from 'valibot';
import { callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { TunnelError } from '../../core/errors.js';
import { type Context, defineCommand } from '../command.js';
import { output, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { forwardRow } from '../output/forward_text.js';
import { humanBytes, humanDuration } from '../output/human.js';
import { peerRow } from '../output/peer_rows.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { type Status, StatusSchema } from '../service/status_method.js';

interface StatusFlags extends OutputFlags {
  readonly state?: string;
}

export const status = defineCommand<StatusFlags>({
  name: 'status',
  group: 'Running',
  summary: 'Show the listener and connectors that run on this machine',
  options: [stateFolder(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel status                     show all processes that use the state folder
  $ tox-wasm-tunnel status --json

Exits with 1 when nothing runs.`,
  run: (context, { flags }) => runStatus(context, flags),
});

async function runStatus({ io, reporter }: Context, { state }: StatusFlags): Promise<ExitCode> {
  const folder = state ?? (await io.stateFolder());
  const doors = await liveDoors(folder);
  const answers = await Promise.allSettled(
    doors.map(async (door) =>
      v.parse(StatusSchema, await callDoor({ folder, door }, 'status', {}, io.timers)),
    ),
  );
  const processes = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (failed !== undefined && processes.length === 0) throw failed.reason;
  if (processes.length === 0) {
    throw new TunnelError(
      'ERR_CONTROL',
      `nothing runs with the state folder ${folder}; use --state to name the folder of the process. Processes with --ephemeral cannot be asked`,
    );
  }
  reporter.event({ event: 'status', processes });
  reporter.result(processes.flatMap(linesOf).join('\n'));
  if (failed === undefined) return EXIT.ok;
  reporter.error(failed.reason);
  return EXIT.failure;
}

const NETWORK: Readonly<Record<Status['network'], string>> = {
  udp: 'joined by UDP',
  // toxcore reports the same when all nodes have private addresses.
  relay: 'joined through TCP relays, or a private network',
  none: 'not joined to the network',
};

function linesOf(process: Status): string[] {
  const { role, pid, upMs, network, bytesIn, bytesOut, inRate, outRate, peers, forwards } = process;
  const traffic = `in ${humanBytes(bytesIn)} (${humanBytes(inRate)}/s), out ${humanBytes(bytesOut)} (${humanBytes(outRate)}/s)`;
  return [
    `${role} ${pid}: up ${humanDuration(upMs)}, ${NETWORK[network]}, ${traffic}`,
    ...(peers.length === 0
      ? ['  no peer is connected']
      : peers.map((peer) => `  ${peerRow(peer, role === 'connector')}`)),
    ...forwards.map((forward) => `  ${forwardRow(forward)}`),
  ];
}
