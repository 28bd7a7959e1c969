import { EXIT } from './process/exit_codes.js';
import { processIo } from './process/process_io.js';
import { run } from './run.js';

/** Runs the command with this process around it, and ends the process. */
export async function runProcess(args: readonly string[]): Promise<never> {
  // What counts should the event loop run dry before the command has ended.
  process.exitCode = EXIT.failure;
  const io = processIo(async () => import('../index.js'));
  const code = await run(args, io);
  // A handle that somebody forgot shall not keep the command from ending.
  process.exit(code);
}
