import { isPath } from '../../rules/endpoint.js';
import { parseDynamicSpec, parseLocalSpec } from '../../rules/forward_spec.js';
import { portOf, portsOf } from '../options/flags.js';

/**
 * The ports of this machine that a command is told to listen at; of a range the lowest.
 *
 * @param flags as commander has them
 * @throws {TunnelError} ERR_SPEC_INVALID, ERR_USAGE
 */
export function listenedPorts(flags: Readonly<Record<string, unknown>>): number[] {
  const ports = (name: string, read: (text: string) => number): number[] => {
    const value = flags[name];
    const texts: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return texts.map((text) => read(String(text)));
  };
  return [
    ...ports('local', (text) => {
      const { bind } = parseLocalSpec(text);
      return isPath(bind) ? 0 : bind.port;
    }),
    ...ports('dynamic', (text) => parseDynamicSpec(text).port),
    ...ports('metrics', (text) => parseDynamicSpec(text).port),
    ...ports('localPort', (text) => portOf(text, '-p')),
    ...ports('port', (text) => portOf(text, '--port')),
    ...ports('tcpPort', (text) => portOf(text, '--tcp-port')),
    ...ports('udpPort', (text) => portsOf(text, '--udp-port').from),
    // `8080`, `8000-8010`, with names and addresses before it.
    ...ports('allowReverse', (text) => Number(/(?:^|:)(\d+)(?:-\d+)?$/.exec(text)?.[1] ?? 0)),
  ];
}
