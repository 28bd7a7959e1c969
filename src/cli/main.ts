#!/usr/bin/env node
import { readyAnswer } from './ready_answers.js';

const args = process.argv.slice(2);
const answer = readyAnswer(args, process.stdout.columns);
if (answer === undefined) {
  const { runProcess } = await import('./run_process.js');
  await runProcess(args);
} else {
  // Whoever has read enough of it closes the pipe: no failure.
  process.stdout.on('error', () => {});
  process.stdout.write(answer);
}
