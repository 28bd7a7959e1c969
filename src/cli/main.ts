#!/usr/bin/env node
import { isReaderGone, outputError, outputOf } from './output/output.js';
import { readyAnswer } from './ready_answers.js';

const args = process.argv.slice(2);
const answer = readyAnswer(args, process.stdout.columns);
if (answer === undefined) {
  const { runProcess } = await import('./run_process.js');
  await runProcess(args);
} else {
  const stdout = outputOf(process.stdout);
  stdout.on('error', (error) => {
    if (isReaderGone(error, stdout)) return;
    process.exitCode = 1;
    const stderr = outputOf(process.stderr);
    stderr.on('error', () => {});
    stderr.write(`tox-wasm-tunnel: ${outputError(error).message}\n`);
  });
  stdout.write(answer);
}
