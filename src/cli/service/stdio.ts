import { TunnelError } from '../../core/errors.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { ConnectorHandle } from '../api.js';
import { outputError } from '../output/output.js';
import { refusalText } from '../output/refusal_text.js';
import type { CliIo } from '../process/io.js';
import type { Lifetime } from '../process/lifetime.js';

/**
 * Joins stdin and stdout to one connection of the far end, half-closes and all, and ends the
 * command with it. It waits for the peer as long as it takes.
 */
export function joinStdio(io: CliIo, connector: ConnectorHandle, target: HostPort, lifetime: Lifetime): void {
  const stream = connector.dial({
    ...target,
    allowHalfOpen: true,
    sessionWaitMs: Number.POSITIVE_INFINITY,
  });
  const { stdin, stdout } = io;
  let open = 2;
  const over = (): void => {
    open--;
    if (open === 0) lifetime.stop();
  };
  let code: 'ERR_OPEN_REFUSED' | 'ERR_STREAM_RESET' = 'ERR_OPEN_REFUSED';
  stream.on('connect', () => {
    code = 'ERR_STREAM_RESET';
  });
  stream.on('error', (cause) => lifetime.fail(new TunnelError(code, refusalText(cause), { cause })));
  stream.on('finish', over);
  stream.on('end', () => {
    // Somebody at a terminal would have to end an input that leads nowhere.
    if (stdin.isTTY === true) stream.end();
    io.endStdout().then(over, (error: Error) => lifetime.fail(outputError(error)));
  });
  stdin.on('error', (error) => stream.destroy(error));
  stdin.pipe(stream);
  stream.pipe(stdout, { end: false });
  lifetime.signal.addEventListener('abort', () => {
    stdin.unpipe(stream);
    stdin.destroy();
  });
}
