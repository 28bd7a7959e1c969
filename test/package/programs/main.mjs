import { roundTrip } from './round_trip.mjs';

roundTrip().then(
  (text) => process.stdout.write(`${text}\n`),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);
