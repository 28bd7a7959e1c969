// Runs a bulk load during a measurement, in a separate process so that the two share only the way:
// `load_process.ts PORT BYTES TIMES` transfers BYTES down once as a warm-up, prints `begun`, transfers them
// TIMES more, and prints `done`.
import { bulkBytes, transfer } from './target.js';

const [port, bytes, times] = process.argv.slice(2).map(Number);
if (port === undefined || bytes === undefined || times === undefined) {
  throw new Error('three numbers are needed: port, bytes and times');
}
const source = bulkBytes('down', bytes);
await transfer(port, 'down', source);
process.stdout.write('begun\n');
for (let i = 0; i < times; i++) await transfer(port, 'down', source);
process.stdout.write('done\n');
