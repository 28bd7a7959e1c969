#!/usr/bin/env node
import { isatty } from 'node:tty';
import { EXIT } from './process/exit_codes.js';
import { isReaderGone, outputError, outputOf } from './process/output_stream.js';
import { readyAnswer } from './ready_answers.js';

const args = process.argv.slice(2);
const answer = readyAnswer(args, process.stdout.columns);
if (answer === undefined) {
  // The exit code if the event loop runs out of work before the command ends.
  process.exitCode = EXIT.failure;
  const [{ processIo }, { run }] = await Promise.all([import('./process/process_io.js'), import('./run.js')]);
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  const code = await run(
    args,
    processIo(async () => import('../index.js')),
  );
  // Node crashes when it exits normally after its terminal has closed. Our own handlers are gone by now.
  if (terminals.some((descriptor) => !isatty(descriptor))) process.kill(process.pid, 'SIGHUP');
  // A handle that is still open must not keep the process alive.
  process.exit(code);
} else {
  const stdout = outputOf(process.stdout);
  stdout.on('error', (error) => {
    if (isReaderGone(error, stdout)) return;
    process.exitCode = EXIT.failure;
    const stderr = outputOf(process.stderr);
    stderr.on('error', () => {});
    stderr.write(`tox-wasm-tunnel: ${outputError(error).message}\n`);
  });
  stdout.write(answer);
}
