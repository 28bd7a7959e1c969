// A CI job that needs a machine at home. The ticket is a CI secret and opens only that one port.
//
//   npx tox-wasm-tunnel --expose 8080                          at home: prints the ticket
//   TICKET=… npx tsx examples/ci_job.ts 8080 npm run deploy    in the job: HOME_MACHINE is host:port
//
// Exits with the exit code of the command.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, parseLocalSpec, parseTicket } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [port = '', command = '', ...args] = process.argv.slice(2);

await using tunnel = await connect({ ...network, remote: parseTicket(process.env['TICKET'] ?? '') });
// The event `peer` reports that the machine is online. If the machine never answers, the job fails instead of
// hanging.
const online = once(tunnel, 'peer', { signal: AbortSignal.timeout(60_000) });
const forward = await tunnel.forward(parseLocalSpec(`0:localhost:${port}`));
await online;

const env = { ...process.env, HOME_MACHINE: forward.local };
const job = spawn(command, args, { stdio: 'inherit', env });
const [exitCode] = await once(job, 'exit');
process.exitCode = exitCode ?? 1;
