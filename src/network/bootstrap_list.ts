import { isIPv6 } from 'node:net';
import * as v from 'valibot';
import { expectText } from '../core/arguments.js';
import { TunnelError, type TunnelErrorCode } from '../core/errors.js';
import { hostProblem } from '../core/host.js';
import { type BootstrapAddress, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import { hexBytes, upperHex } from './tox_id.js';

/** Hexadecimal digits of a DHT public key. */
const KEY_DIGITS = PUBLIC_KEY_BYTES * 2;

/**
 * Maximum number of bootstrap nodes in a file. The public list has about 50; a longer file is not such a list.
 */
const MAX_NODES = 1000;

/** The end of every error about a line. */
const LINE_FORM =
  'write HOST:PORT:KEY, for example 192.0.2.1:33445:KEY, with 64 hexadecimal digits of KEY and IPv6 in brackets';

/**
 * Reads a bootstrap node from `HOST:PORT:KEY`: a name, an IPv4 address or an IPv6 address in brackets; 1 to 65535; 64
 * hexadecimal digits. Ignores white space around the text.
 *
 * @throws {TunnelError} ERR_BOOTSTRAP_INVALID; the message says which part is wrong
 *
 * @example
 * ```ts
 * const bootstrap = [parseBootstrapLine(process.env.BOOTSTRAP)];
 * const listener = await listen({ bootstrap });
 * ```
 */
export function parseBootstrapLine(text: string): BootstrapAddress {
  expectText(text, 'parseBootstrapLine()');
  const line = text.trim();
  const fail = (what: string): never => {
    throw new TunnelError(
      'ERR_BOOTSTRAP_INVALID',
      `in ${JSON.stringify(shorten(line))}, ${what}; ${LINE_FORM}`,
    );
  };
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*):([^:]*)$/.exec(line);
  if (!parts) {
    if (line.startsWith('[') && !line.includes(']')) return fail('the bracket is not closed');
    const colons = line.split(':').length - 1;
    if (colons > 2) return fail('there are too many colons (an IPv6 address needs brackets)');
    return fail(colons < 2 ? 'a part is missing' : 'a bracket is in the wrong place');
  }
  const [, bracketed, plain, port = '', key = ''] = parts;
  const host = bracketed ?? plain ?? '';
  if (bracketed !== undefined && !isIPv6(bracketed)) {
    return fail(`${JSON.stringify(bracketed)} in brackets is not an IPv6 address`);
  }
  const wrongHost = hostProblem(host);
  if (wrongHost !== undefined) return fail(wrongHost);
  const portNumber = parsePort(port);
  if (portNumber === undefined)
    return fail(`the port ${JSON.stringify(port)} is not a number from 1 to 65535`);
  const wrongKey = keyProblem(key);
  if (wrongKey !== undefined) return fail(wrongKey);
  return { host, port: portNumber, key: hexBytes(key) };
}

/** Formats a bootstrap node as {@link parseBootstrapLine} reads it, without its TCP ports. */
export function formatBootstrapLine(node: Pick<BootstrapAddress, 'host' | 'port' | 'key'>): string {
  const host = node.host.includes(':') ? `[${node.host}]` : node.host;
  return `${host}:${node.port}:${upperHex(node.key)}`;
}

/** The public list writes a missing address as `-`, `NONE` or an empty text. */
const absent = (host: string): boolean => host === '' || host === '-' || host.toUpperCase() === 'NONE';

const HostSchema = v.pipe(
  v.string('expected a string'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed || absent(dataset.value)) return;
    const problem = hostProblem(dataset.value);
    if (problem !== undefined) addIssue({ message: problem });
  }),
);

const PORT_WANTED = 'expected a whole number from 1 to 65535';
const PortSchema = v.pipe(
  v.number(PORT_WANTED),
  v.integer(PORT_WANTED),
  v.minValue(1, PORT_WANTED),
  v.maxValue(65535, PORT_WANTED),
);

const KeySchema = v.pipe(
  v.string('expected a string of 64 hexadecimal digits'),
  v.rawCheck(({ dataset, addIssue }) => {
    const problem = dataset.typed ? keyProblem(dataset.value) : undefined;
    if (problem !== undefined) addIssue({ message: problem });
  }),
);

// Fields that we do not use (maintainer, location, motd …) are optional.
const NodesSchema = v.object(
  {
    nodes: v.pipe(
      v.array(
        v.object(
          {
            ipv4: v.optional(HostSchema, ''),
            ipv6: v.optional(HostSchema, ''),
            port: PortSchema,
            tcp_ports: v.optional(v.array(PortSchema, 'expected an array of ports'), []),
            public_key: KeySchema,
            // Whether the list's maintainer reached the node over UDP and over TCP. Anything but a boolean is ignored.
            status_udp: v.optional(v.unknown()),
            status_tcp: v.optional(v.unknown()),
          },
          ({ expected }) => (expected === 'Object' ? 'expected an object' : 'this field is missing'),
        ),
        'expected an array of nodes',
      ),
      v.minLength(1, 'the list is empty'),
      v.maxLength(MAX_NODES, `the list has more than ${MAX_NODES} nodes`),
    ),
  },
  ({ expected }) =>
    expected === 'Object' ? 'expected an object with a "nodes" array' : 'this field is missing',
);

/** The end of every error about a file. */
const FILE_FORM =
  'the file must look like {"nodes":[{"ipv4":"192.0.2.1","port":33445,"public_key":"64 digits"}]}';

/** An entry of the public list: the fields that we use. */
export type NodeEntry = v.InferOutput<typeof NodesSchema>['nodes'][number];

/**
 * Reads a file in the format of the public list of bootstrap nodes (https://nodes.tox.chat/json). An entry with an
 * IPv4 and an IPv6 address gives two nodes.
 *
 * @param name of the file, for the error
 * @throws {TunnelError} ERR_NODES_INVALID; the message names the entry and the field
 *
 * @example
 * ```ts
 * const bootstrap = parseNodesFile(await readFile('nodes.json', 'utf8'), 'nodes.json');
 * const listener = await listen({ bootstrap });
 * ```
 */
export function parseNodesFile(text: string, name: string): BootstrapAddress[] {
  expectText(text, 'parseNodesFile()');
  return nodesOf(parseNodeEntries(text, name));
}

/** Returns the bootstrap nodes of a list's entries, one for each address. */
export function nodesOf(entries: readonly NodeEntry[]): BootstrapAddress[] {
  return entries.flatMap((entry) => {
    const key = hexBytes(entry.public_key);
    return hostsOf(entry).map((host) => ({ host, port: entry.port, tcpPorts: entry.tcp_ports, key }));
  });
}

/** Like {@link parseNodesFile}, but returns the entries of the file. @throws {TunnelError} ERR_NODES_INVALID */
export function parseNodeEntries(text: string, name: string): NodeEntry[] {
  const fail = (where: string, what: string, cause?: unknown): never => {
    const code: TunnelErrorCode = 'ERR_NODES_INVALID';
    const place = where === '' ? name : `${name}, ${where}`;
    throw new TunnelError(code, `${place}: ${what}; ${FILE_FORM}`, cause === undefined ? {} : { cause });
  };
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return fail('', 'not JSON', error);
  }
  const read = v.safeParse(NodesSchema, json, { abortEarly: true });
  if (!read.success) return fail(pathOf(read.issues[0]), read.issues[0].message);
  for (const [at, entry] of read.output.nodes.entries()) {
    if (hostsOf(entry).length === 0) fail(`nodes[${at}]`, 'neither ipv4 nor ipv6 is an address');
  }
  return read.output.nodes;
}

const hostsOf = ({ ipv4, ipv6 }: NodeEntry): string[] => [
  ...new Set([ipv4, ipv6].filter((host) => !absent(host))),
];

/** Formats the place of an issue as in JavaScript: `nodes[3].port`. */
function pathOf(issue: v.BaseIssue<unknown>): string {
  const keys = (issue.path ?? []).map((item) => item.key);
  return keys
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}

function parsePort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

function keyProblem(key: string): string | undefined {
  const stranger = /[^0-9a-f]/iu.exec(key);
  if (stranger)
    return `${JSON.stringify(stranger[0])} at position ${stranger.index + 1} of the key is not a hexadecimal digit`;
  if (key.length === 76) return 'the key has 76 digits: that is a Tox ID; the key of a bootstrap node has 64';
  if (key.length !== KEY_DIGITS) return `the key has ${key.length} digits instead of ${KEY_DIGITS}`;
  return undefined;
}

const shorten = (line: string): string => (line.length > 120 ? `${line.slice(0, 117)}...` : line);
