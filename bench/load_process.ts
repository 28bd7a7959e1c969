// A load beside a measurement, in a process of its own so that only the way is shared:
// `load_process.ts PORT BYTES TIMES` moves BYTES down once, so that code is compiled and the path known,
// says `begun`, moves them so many times more, and says `done`.
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
