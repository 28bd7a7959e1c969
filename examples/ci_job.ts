// A CI job that needs a machine at home. The ticket is a CI secret and opens only that one port.
//
//   npx tox-wasm-tunnel --expose 8080                          at home: prints the ticket
//   TICKET=… npx tsx examples/ci_job.ts 8080 npm run deploy    in the job: HOME_MACHINE is host:port
//
// Exits with the exit code of the command.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [port = '', command = '', ...args] = process.argv.slice(2);

await using tunnel = await connect({ ...network, remote: process.env['TICKET'] ?? '' });
const forward = await tunnel.forward(`0:localhost:${port}`);
// If the machine never answers, the job fails instead of hanging.
await tunnel.online({ signal: AbortSignal.timeout(60_000) });

const env = { ...process.env, HOME_MACHINE: forward.local };
const job = spawn(command, args, { stdio: 'inherit', env });
const [exitCode] = await once(job, 'exit');
process.exitCode = exitCode ?? 1;
