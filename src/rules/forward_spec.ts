import { expectText } from '../core/arguments.js';
import { hostText, LOCALHOST } from '../core/host.js';
import { parseAddress } from '../core/ip.js';
import {
  type Endpoint,
  type HostPort,
  isPath,
  looksLikePath,
  printEndpoint,
  printHostPort,
  type SocketPath,
} from './endpoint.js';
import { type Part, SpecText, TOO_MANY_PARTS } from './spec_text.js';

/** The address and port at which a forward listens. */
export interface Bind extends HostPort {
  /** Nobody named the address: a local forward listens at ::1 too, because `localhost` may mean either. */
  readonly isDefault?: boolean;
}

/** A local forward: this end listens at `bind`, the far end dials `target`. */
export interface LocalSpec {
  readonly bind: Bind | SocketPath;
  readonly target: Endpoint;
}

/** Default bind address of a forward. Other machines cannot reach it. */
export const DEFAULT_BIND_HOST = '127.0.0.1';

const LOCAL_USAGE =
  '[bind:]port:host:hostport, for example 8080:localhost:80; either end may be a path, as in 8080:/run/app.sock';
const REVERSE_USAGE =
  '[bind:]port:host:hostport, for example 8080:localhost:80; the target may be a path, as in 8080:/run/app.sock';
const UDP_USAGE = '[bind:]port:host:hostport, for example 5353:localhost:53';
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
 * | `8080:/run/app.sock`           | 127.0.0.1:8080           | /run/app.sock    |
 * | `/tmp/db.sock:db:5432`         | /tmp/db.sock             | db:5432          |
 * | `/tmp/a.sock:\\.\pipe\app`     | /tmp/a.sock              | \\.\pipe\app     |
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 *
 * @example
 * ```ts
 * const { local } = await tunnel.forward(parseLocalSpec('8080:localhost:80'));
 * ```
 */
export function parseLocalSpec(text: string): LocalSpec {
  expectText(text, 'parseLocalSpec()');
  return readForward(new SpecText(text, LOCAL_USAGE), text);
}

/** Reads the grammar that `-L`, `-R` and `--udp-forward` share. @throws {TunnelError} ERR_SPEC_INVALID */
export function readForward(spec: SpecText, text: string): LocalSpec {
  const parts = spec.parts();
  const whole = { text, at: 0 };
  const last = parts.at(-1);
  const target = last !== undefined && looksLikePath(last.text) ? [last] : parts.slice(-2);
  const bind = parts.slice(0, -target.length);
  const [first, second] = bind;
  if (first === undefined) {
    throw spec.fault(
      whole,
      'a forward has three or four parts separated by colons, or two when one is a path',
    );
  }
  if (bind.length > 2 || (second !== undefined && looksLikePath(first.text)))
    throw spec.fault(whole, TOO_MANY_PARTS);
  return { bind: bindOf(spec, first, second), target: targetIn(spec, target) };
}

function bindOf(spec: SpecText, first: Part, second: Part | undefined): Bind | SocketPath {
  const role = 'the port to listen on';
  if (second === undefined) {
    if (looksLikePath(first.text)) return spec.path(first, 'the path to listen at');
    return { host: DEFAULT_BIND_HOST, port: spec.port(first, role, 0), isDefault: true };
  }
  if (first.text === '*' || first.text === '') {
    throw spec.fault(
      first,
      'the bind address must be written out: 0.0.0.0 for all IPv4 addresses, [::] for IPv6 too',
    );
  }
  return { host: hostText(spec.host(first, 'the bind address')), port: spec.port(second, role, 0) };
}

function targetIn(spec: SpecText, [first, second]: readonly Part[]): Endpoint {
  const nothing = { text: '', at: 0 };
  if (second === undefined) return spec.path(first ?? nothing, 'the target path');
  return hostPort(spec, first ?? nothing, second);
}

/** Formats a forward as {@link parseLocalSpec} and {@link parseReverseSpec} read it, without the default bind address. */
export function printForwardSpec({ bind, target }: LocalSpec): string {
  return `${printBind(bind)}:${printEndpoint(target)}`;
}

/** Formats where a forward listens, without an address that nobody named. */
export function printBind(bind: Bind | SocketPath): string {
  if (isPath(bind)) return bind.path;
  return bind.isDefault === true ? String(bind.port) : printHostPort(bind);
}

/**
 * Reads the argument of `-D`, where the proxy listens: `1080`, `0` or `[::1]:1080`.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 *
 * @example
 * ```ts
 * const { local } = await tunnel.dynamic({ bind: parseDynamicSpec('1080') });
 * ```
 */
export function parseDynamicSpec(text: string): Bind {
  expectText(text, 'parseDynamicSpec()');
  return parseBind(text, DYNAMIC_USAGE);
}

/**
 * Reads `[bind:]port`. The default bind address is 127.0.0.1.
 *
 * @param usage grammar and example, for the error
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseBind(text: string, usage: string): Bind {
  const spec = new SpecText(text, usage);
  const [first, second, third] = spec.parts();
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, TOO_MANY_PARTS);
  }
  if (second === undefined)
    return { host: DEFAULT_BIND_HOST, port: spec.port(first, 'the port', 0), isDefault: true };
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
    throw spec.fault({ text, at: 0 }, TOO_MANY_PARTS);
  }
  if (second === undefined) return { host: LOCALHOST, port: spec.port(first, 'the port') };
  return hostPort(spec, first, second);
}

function hostPort(spec: SpecText, host: Part, port: Part): HostPort {
  return { host: hostText(spec.host(host, 'the target host')), port: spec.port(port, 'the target port') };
}

/** A reverse forward: the far end listens at `bind`, this end dials `target`. */
export interface ReverseSpec {
  readonly bind: Bind;
  readonly target: Endpoint;
}

/**
 * Reads the argument of `-R`. The grammar is that of `-L`, but the far end listens and this end dials. The far end
 * resolves no names for it: the bind address is numeric, or `localhost`.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 *
 * @example
 * ```ts
 * const reverse = tunnel.reverse(parseReverseSpec('8080:localhost:3000'));
 * ```
 */
export function parseReverseSpec(text: string): ReverseSpec {
  expectText(text, 'parseReverseSpec()');
  const spec = new SpecText(text, REVERSE_USAGE);
  const { bind, target } = readForward(spec, text);
  const whole = { text, at: 0 };
  if (isPath(bind))
    throw spec.fault(whole, 'the far end listens at ports only, so the first part must not be a path');
  if (bind.host !== LOCALHOST && parseAddress(bind.host) === undefined)
    throw spec.fault(whole, `the bind address must be a numeric address or ${LOCALHOST}`);
  return { bind, target };
}

/** A forward of UDP datagrams: this end receives them at `bind`, the far end sends them to `target`. */
export interface UdpSpec {
  readonly bind: Bind;
  readonly target: HostPort;
}

/**
 * Reads the argument of `--udp-forward`. The grammar is that of `-L` without paths.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 *
 * @example
 * ```ts
 * const { local } = await tunnel.udpForward(parseUdpSpec('5353:localhost:53'));
 * ```
 */
export function parseUdpSpec(text: string): UdpSpec {
  expectText(text, 'parseUdpSpec()');
  const spec = new SpecText(text, UDP_USAGE);
  const { bind, target } = readForward(spec, text);
  if (isPath(bind) || isPath(target)) {
    throw spec.fault({ text, at: 0 }, 'datagrams travel between ports, so neither end may be a path');
  }
  return { bind, target };
}
