/** Asks the example's route twice, as Next does for two requests, and exits as a server does that is stopped. */
import { GET } from '../../examples/next_route.js';

for (let times = 0; times < 2; times++) process.stdout.write(`${await (await GET()).text()}\n`);
process.exit();
