/**
 * One end of the control socket in a separate process. `control_program.ts serve FOLDER` prints "serving" and
 * lives until its standard input ends; with `connector` at the end it acts as a connector.
 * `control_program.ts ask FOLDER METHOD PARAMS` prints the answer as JSON, or the code of the error.
 */
import * as v from 'valibot';
import { callListener } from '../../src/control/client.js';
import { ControlServer, method } from '../../src/control/server.js';
import { TunnelError } from '../../src/core/errors.js';

const [what = '', folder = '', name = '', params = '{}'] = process.argv.slice(2);

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

try {
  if (what === 'serve') {
    const methods = {
      double: method(v.object({ number: v.number() }), ({ number }) => ({
        twice: 2 * number,
        pid: process.pid,
      })),
    };
    const server = await ControlServer.start({
      folder,
      methods,
      door: name === 'connector' ? process.pid : 'listener',
    });
    say('serving');
    process.stdin.on('end', () => void server.close()).resume();
  } else {
    say(JSON.stringify(await callListener(folder, name, JSON.parse(params))));
  }
} catch (error) {
  say(TunnelError.is(error) ? error.code : String(error));
}
