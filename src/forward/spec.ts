import { bracketed } from './address.js';
import { hostText, LOCALHOST } from './host.js';
import { type Part, SpecText } from './spec_text.js';

/** A host and a port; the host in canonical spelling, without brackets. */
export interface HostPort {
  readonly host: string;
  /** 1 to 65535; 0 only where a free port is to be picked. */
  readonly port: number;
}

/** A local forward: where this end listens and what the far end dials. */
export interface LocalSpec {
  readonly bind: HostPort;
  readonly target: HostPort;
}

/** Where a forward listens when it is not told: nobody else on the network reaches it. */
export const DEFAULT_BIND_HOST = '127.0.0.1';

const LOCAL_USAGE = '[bind:]port:host:hostport, for example 8080:localhost:80';
const DYNAMIC_USAGE = '[bind:]port, for example 1080 or 127.0.0.1:1080';
const TARGET_USAGE = 'host:port or a port alone, for example localhost:22, [2001:db8::1]:22 or 22';

/**
 * Reads the argument of `-L`.
 *
 * | text                           | listens on               | far end dials    |
 * |--------------------------------|--------------------------|------------------|
 * | `8080:localhost:80`            | 127.0.0.1:8080           | localhost:80     |
 * | `0:localhost:22`               | a free port of 127.0.0.1 | localhost:22     |
 * | `8080:Intra.Example:80`        | 127.0.0.1:8080           | intra.example:80 |
 * | `0.0.0.0:8080:10.0.0.7:80`     | 0.0.0.0:8080             | 10.0.0.7:80      |
 * | `[::1]:8080:[2001:DB8::0:1]:80`| [::1]:8080               | [2001:db8::1]:80 |
 * | `lan.example:8080:db:5432`     | lan.example:8080         | db:5432          |
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseLocalSpec(text: string): LocalSpec {
  const spec = new SpecText(text, LOCAL_USAGE);
  const [first, second, third, fourth, fifth] = spec.parts();
  const whole = { text, at: 0 };
  if (first === undefined || second === undefined || third === undefined) {
    throw spec.fault(whole, 'a forward has three or four parts between colons');
  }
  if (fifth !== undefined) {
    throw spec.fault(whole, 'too many parts between colons: an IPv6 address stands in brackets');
  }
  if (fourth === undefined) {
    const bind = { host: DEFAULT_BIND_HOST, port: spec.port(first, 'the port to listen on', 0) };
    return { bind, target: hostPort(spec, second, third) };
  }
  if (first.text === '*' || first.text === '') {
    throw spec.fault(
      first,
      'the bind address must be written out: 0.0.0.0 for all of IPv4, [::] for IPv6 too',
    );
  }
  const host = hostText(spec.host(first, 'the bind address'));
  const bind = { host, port: spec.port(second, 'the port to listen on', 0) };
  return { bind, target: hostPort(spec, third, fourth) };
}

/** What {@link parseLocalSpec} reads back as the same; the default bind is left out. */
export function printLocalSpec({ bind, target }: LocalSpec): string {
  return `${printBind(bind)}:${printHostPort(target)}`;
}

/** Where a forward listens, as its user wrote it: the default address is left out. */
export function printBind(bind: HostPort): string {
  return bind.host === DEFAULT_BIND_HOST ? String(bind.port) : printHostPort(bind);
}

/**
 * Reads the argument of `-D`: where the proxy listens, `1080`, `0` or `[::1]:1080`.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseDynamicSpec(text: string): HostPort {
  return parseBind(text, DYNAMIC_USAGE);
}

/**
 * Reads `[bind:]port`; the default bind address is loopback.
 *
 * @param usage how it is written, for the message
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseBind(text: string, usage: string): HostPort {
  const spec = new SpecText(text, usage);
  const [first, second, third] = spec.parts();
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, 'too many parts between colons: an IPv6 address stands in brackets');
  }
  if (second === undefined) return { host: DEFAULT_BIND_HOST, port: spec.port(first, 'the port', 0) };
  return { host: hostText(spec.host(first, 'the bind address')), port: spec.port(second, 'the port', 0) };
}

/**
 * Reads the short form of a target: `host:port`, or `22` for `localhost:22`.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseTarget(text: string): HostPort {
  const spec = new SpecText(text, TARGET_USAGE);
  const [first, second, third] = spec.parts();
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, 'too many parts between colons: an IPv6 address stands in brackets');
  }
  if (second === undefined) return { host: LOCALHOST, port: spec.port(first, 'the port') };
  return hostPort(spec, first, second);
}

/** `host:port`, IPv6 in brackets; what {@link parseTarget} reads back as the same. */
export function printHostPort({ host, port }: HostPort): string {
  return `${bracketed(host)}:${port}`;
}

function hostPort(spec: SpecText, host: Part, port: Part): HostPort {
  return { host: hostText(spec.host(host, 'the target host')), port: spec.port(port, 'the target port') };
}
