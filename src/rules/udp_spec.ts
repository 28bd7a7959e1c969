import { isPath } from './endpoint.js';
import { type HostPort, readForward } from './spec.js';
import { SpecText } from './spec_text.js';

/** A forward of UDP datagrams: where this end takes them, and where the far end sends them. */
export interface UdpSpec {
  readonly bind: HostPort;
  readonly target: HostPort;
}

const USAGE = '[bind:]port:host:hostport, for example 5353:localhost:53';

/**
 * Reads the argument of `--udp-forward`: as `-L`, without paths.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseUdpSpec(text: string): UdpSpec {
  const spec = new SpecText(text, USAGE);
  const { bind, target } = readForward(spec, text);
  if (isPath(bind) || isPath(target)) {
    throw spec.fault({ text, at: 0 }, 'datagrams go from port to port: no path stands for either end');
  }
  return { bind, target };
}
