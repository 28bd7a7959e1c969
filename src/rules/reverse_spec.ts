import { parseAddress } from './address.js';
import type { Endpoint } from './endpoint.js';
import { isPath } from './endpoint.js';
import { LOCALHOST } from './host.js';
import { type HostPort, printLocalSpec, readForward } from './spec.js';
import { SpecText } from './spec_text.js';

/** A reverse forward: where the far end listens, and what this end dials. */
export interface ReverseSpec {
  readonly bind: HostPort;
  readonly target: Endpoint;
}

const USAGE =
  '[bind:]port:host:hostport, for example 8080:localhost:80; a path may stand for the target, as in 8080:/run/app.sock';

/**
 * Reads the argument of `-R`: as `-L`, but the first part is of the far end, and the second of this one. The
 * far end looks no names up for it: the bind address is numeric, or `localhost`.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseReverseSpec(text: string): ReverseSpec {
  const spec = new SpecText(text, USAGE);
  const { bind, target } = readForward(spec, text);
  const whole = { text, at: 0 };
  if (isPath(bind)) throw spec.fault(whole, 'the far end listens at ports only, at no path');
  if (bind.host !== LOCALHOST && parseAddress(bind.host) === undefined)
    throw spec.fault(whole, `the bind address must be numeric, or ${LOCALHOST}`);
  return { bind, target };
}

/** What {@link parseReverseSpec} reads back as the same. */
export const printReverseSpec: (spec: ReverseSpec) => string = printLocalSpec;
