// Many connectors in one process, through the library. Arguments: the module of the library, the bootstrap
// line, the ticket, the number of connectors, the target's port (0: no forward), and the pause between two
// starts in milliseconds. Prints `port N` for the forward of its first connector, and `up I MS` and
// `down I MS` as its connectors come and go, in milliseconds since the epoch.
import type * as Library from '../../src/index.js';
import { LOOPBACK_HOST } from '../../test/support/loopback.js';

const [library = '', bootstrap = '', ticket = '', count = '0', targetPort = '0', pauseMs = '0'] =
  process.argv.slice(2);
// The module is built from src/index.ts, or is that file.
const { connect, parseBootstrapLine, parseLocalSpec, parseTicket } = (await import(
  library
)) as typeof Library;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const node = parseBootstrapLine(bootstrap);

for (let index = 0; index < Number(count); index++) {
  const tunnel = await connect({
    remote: parseTicket(ticket),
    bootstrap: [node],
    bindAddress: LOOPBACK_HOST,
    lanDiscovery: false,
  });
  tunnel.on('peer', ({ status, roundTripMs }) => {
    if (roundTripMs !== undefined) return;
    say(
      `${status === 'online' ? 'up' : 'down'} ${index} ${Math.round(performance.timeOrigin + performance.now())}`,
    );
  });
  tunnel.on('error', (error) => say(`error ${index} ${error.message}`));
  if (index === 0 && targetPort !== '0') {
    const { local } = await tunnel.forward(parseLocalSpec(`0:${LOOPBACK_HOST}:${targetPort}`));
    say(`port ${local.slice(local.lastIndexOf(':') + 1)}`);
  }
  await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)));
}
say('started');
