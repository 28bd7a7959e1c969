import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { formatBootstrapLine, parseBootstrapLine, parseNodesFile } from '../../src/network/bootstrap_list.js';
import { PUBLIC_NODES_SEEN, publicNodes } from '../../src/network/public_nodes.js';

const KEY = '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';
const key = Uint8Array.from(Buffer.from(KEY, 'hex'));

const refuses = (call: () => unknown, code: TunnelErrorCode, why: RegExp, message?: string): void => {
  assert.throws(
    call,
    (error) =>
      TunnelError.is(error) &&
      error.code === code &&
      why.test(error.message) &&
      !error.message.includes('\n'),
    message,
  );
};

describe('bootstrap line', () => {
  const good: ReadonlyArray<readonly [line: string, host: string, port: number]> = [
    [`192.0.2.1:33445:${KEY}`, '192.0.2.1', 33445],
    [`tox.example.org:443:${KEY}`, 'tox.example.org', 443],
    [`localhost:1:${KEY.toLowerCase()}`, 'localhost', 1],
    [`[2001:db8::1]:65535:${KEY}`, '2001:db8::1', 65535],
    [`  node_1.example.:53:${KEY}\n`, 'node_1.example.', 53],
    [`xn--bcher-kva.example:53:${KEY}`, 'xn--bcher-kva.example', 53],
  ];
  for (const [line, host, port] of good) {
    test(`${line.trim().slice(0, 30)}… is ${host}, port ${port}`, () => {
      assert.deepEqual(parseBootstrapLine(line), { host, port, key });
    });
  }

  const bad: ReadonlyArray<readonly [line: string, why: RegExp]> = [
    ['', /a part is missing/],
    ['192.0.2.1', /a part is missing/],
    ['192.0.2.1:33445', /a part is missing/],
    [`:33445:${KEY}`, /the host is empty/],
    [`192.0.2.1::${KEY}`, /the port "" is not a number/],
    [`192.0.2.1:0:${KEY}`, /the port "0" is not a number from 1 to 65535/],
    [`192.0.2.1:65536:${KEY}`, /the port "65536"/],
    [`192.0.2.1:+1:${KEY}`, /the port "\+1"/],
    [`192.0.2.1:0x50:${KEY}`, /the port "0x50"/],
    [`192.0.2.1:33445:`, /the key has 0 digits instead of 64/],
    [`192.0.2.1:33445:${KEY.slice(1)}`, /the key has 63 digits/],
    [`192.0.2.1:33445:${KEY}0`, /the key has 65 digits/],
    [`192.0.2.1:33445:${KEY}000000000000`, /76 digits: that is a Tox ID/],
    [`192.0.2.1:33445:x${KEY.slice(1)}`, /"x" at position 1 of the key/],
    [`192.0.2.1:33445:${KEY.slice(0, 63)} `.replace(' ', '?'), /"\?" at position 64 of the key/],
    [`2001:db8::1:33445:${KEY}`, /needs brackets/],
    [`[2001:db8::1:33445:${KEY}`, /bracket is not closed/],
    [`[192.0.2.1]:33445:${KEY}`, /in brackets is not an IPv6 address/],
    [`[tox.example.org]:33445:${KEY}`, /in brackets is not an IPv6 address/],
    [`[fe80::1%eth0]:33445:${KEY}`, /zone/],
    [`a]b:33445:${KEY}`, /a bracket is in the wrong place/],
    [`999.0.2.1:33445:${KEY}`, /must be a dotted quad/],
    [`192.0.2:33445:${KEY}`, /must be a dotted quad/],
    [`0x7f.1:33445:${KEY}`, /must be a dotted quad/],
    [`a.0x7f:33445:${KEY}`, /must be a dotted quad/],
    [`tox example:33445:${KEY}`, /the host "[^"]+" is not a name/],
    [`-tox.example:33445:${KEY}`, /the host "[^"]+" is not a name/],
    [`tox..example:33445:${KEY}`, /the host "[^"]+" is not a name/],
    [`${'a'.repeat(64)}.example:33445:${KEY}`, /the host "[^"]+" is not a name/],
    [`${'a.'.repeat(127)}example:33445:${KEY}`, /is longer than 253 characters/],
    [`tox.\u212aey.example:33445:${KEY}`, /must be ASCII/],
  ];
  for (const [line, why] of bad) {
    test(`${JSON.stringify(line.slice(0, 40))} is refused: ${why.source}`, () => {
      refuses(() => parseBootstrapLine(line), 'ERR_BOOTSTRAP_INVALID', why);
      refuses(() => parseBootstrapLine(line), 'ERR_BOOTSTRAP_INVALID', /write HOST:PORT:KEY/);
    });
  }

  test('every prefix of a line is refused', () => {
    for (const line of [`192.0.2.1:33445:${KEY}`, `[2001:db8::1]:33445:${KEY}`]) {
      for (let length = 0; length < line.length; length++) {
        refuses(
          () => parseBootstrapLine(line.slice(0, length)),
          'ERR_BOOTSTRAP_INVALID',
          /./,
          line.slice(0, length),
        );
      }
    }
  });

  test('a written line reads back', () => {
    const node = fc.record({
      host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
      port: fc.integer({ min: 1, max: 65535 }),
      key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    });
    fc.assert(
      fc.property(node, (each) => {
        assert.deepEqual(parseBootstrapLine(formatBootstrapLine(each)), { ...each });
      }),
      { numRuns: 500 },
    );
  });

  test('no text breaks the reader or gets a long answer', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 3000, size: 'max' }),
      fc
        .array(fc.constantFrom('[', ']', ':', '.', 'a', '1', KEY, '%'), { maxLength: 12 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (line) => {
        try {
          const node = parseBootstrapLine(line);
          assert.deepEqual(parseBootstrapLine(formatBootstrapLine(node)), node);
        } catch (error) {
          assert.ok(TunnelError.is(error), String(error));
          assert.ok(error.message.length < 1200, `${error.message.length}`);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('nodes file', () => {
  const entry = {
    ipv4: '192.0.2.1',
    ipv6: '2001:db8::1',
    port: 33445,
    tcp_ports: [443, 3389],
    public_key: KEY,
  };
  const file = (...nodes: unknown[]): string => JSON.stringify({ last_scan: 1, nodes });
  const read = (text: string) => parseNodesFile(text, 'nodes.json');

  test('an entry with both addresses gives two nodes with the same key and TCP ports', () => {
    assert.deepEqual(read(file({ ...entry, maintainer: 'x', status_udp: true })), [
      { host: '192.0.2.1', port: 33445, tcpPorts: [443, 3389], key },
      { host: '2001:db8::1', port: 33445, tcpPorts: [443, 3389], key },
    ]);
  });

  test('an address that is "-", NONE, empty or missing does not count', () => {
    for (const ipv6 of ['-', 'NONE', '', undefined]) {
      assert.deepEqual(
        read(file({ ...entry, ipv6 })).map(({ host }) => host),
        ['192.0.2.1'],
      );
    }
    assert.deepEqual(
      read(file({ ...entry, ipv4: '-' })).map(({ host }) => host),
      ['2001:db8::1'],
    );
  });

  test('a name in both address fields gives one node', () => {
    const nodes = read(file({ ...entry, ipv4: 'tox.example', ipv6: 'tox.example' }));
    assert.deepEqual(
      nodes.map(({ host }) => host),
      ['tox.example'],
    );
  });

  test('TCP ports are optional', () => {
    assert.deepEqual(read(file({ ipv4: 'tox.example', port: 1, public_key: KEY })), [
      { host: 'tox.example', port: 1, tcpPorts: [], key },
    ]);
  });

  test('a byte order mark is ignored', () => {
    assert.equal(read(`\uFEFF${file(entry)}`).length, 2);
  });

  const bad: ReadonlyArray<readonly [name: string, text: string, why: RegExp]> = [
    ['text that is not JSON', '{"nodes":[', /^[^,]*: nodes\.json: not JSON/],
    ['an empty file', '', /not JSON/],
    ['an array', '[]', /nodes/],
    ['null', 'null', /nodes\.json: expected an object with a "nodes" array/],
    ['no nodes', '{}', /nodes: this field is missing/],
    ['nodes that are not an array', '{"nodes":{}}', /nodes\.json, nodes: expected an array of nodes/],
    ['an empty list', file(), /nodes: the list is empty/],
    ['a list that is too long', file(...Array.from({ length: 1001 }, () => entry)), /more than 1000 nodes/],
    ['an entry that is not an object', file(entry, 7), /nodes\[1\]: expected an object/],
    ['a missing port', file(entry, { ...entry, port: undefined }), /nodes\[1\]\.port: this field is missing/],
    ['a port as text', file({ ...entry, port: '33445' }), /nodes\[0\]\.port: expected a whole number/],
    ['an invalid port', file({ ...entry, port: 1.5 }), /nodes\[0\]\.port: expected a whole number/],
    ['port 0', file({ ...entry, port: 0 }), /nodes\[0\]\.port: expected a whole number from 1/],
    ['port 65536', file({ ...entry, port: 65536 }), /nodes\[0\]\.port/],
    [
      'an invalid TCP port',
      file({ ...entry, tcp_ports: [443, 0] }),
      /nodes\[0\]\.tcp_ports\[1\]: expected a whole number/,
    ],
    [
      'TCP ports that are not an array',
      file({ ...entry, tcp_ports: 443 }),
      /nodes\[0\]\.tcp_ports: expected an array/,
    ],
    [
      'a missing key',
      file({ ...entry, public_key: undefined }),
      /nodes\[0\]\.public_key: this field is missing/,
    ],
    [
      'a short key',
      file(entry, entry, { ...entry, public_key: 'AB' }),
      /nodes\[2\]\.public_key: the key has 2 digits/,
    ],
    ['a key as a number', file({ ...entry, public_key: 5 }), /nodes\[0\]\.public_key: expected a string/],
    ['an invalid host', file({ ...entry, ipv4: 'a b' }), /nodes\[0\]\.ipv4: the host "a b" is not a name/],
    ['a host as a number', file({ ...entry, ipv6: 6 }), /nodes\[0\]\.ipv6: expected a string/],
    [
      'no address at all',
      file(entry, { ...entry, ipv4: '-', ipv6: '-' }),
      /nodes\[1\]: neither ipv4 nor ipv6/,
    ],
  ];
  for (const [name, text, why] of bad) {
    test(`${name} is refused with its position`, () => {
      refuses(() => read(text), 'ERR_NODES_INVALID', why);
      refuses(() => read(text), 'ERR_NODES_INVALID', /must look like \{"nodes"/);
    });
  }

  test('every prefix of a file is refused', () => {
    const text = file(entry);
    for (let length = 0; length < text.length; length++) {
      refuses(() => read(text.slice(0, length)), 'ERR_NODES_INVALID', /not JSON/);
    }
  });
});

describe('public nodes', () => {
  test('there are enough of them, all well formed and distinct', () => {
    const nodes = publicNodes();
    assert.ok(nodes.length >= 15 && nodes.length <= 40, String(nodes.length));
    const lines = nodes.map(formatBootstrapLine);
    for (const [at, line] of lines.entries()) {
      const { tcpPorts, ...node } = nodes[at]!;
      assert.deepEqual(parseBootstrapLine(line), node);
      assert.ok(
        tcpPorts?.every((port) => Number.isInteger(port) && port > 0 && port < 65536),
        line,
      );
    }
    assert.equal(new Set(lines).size, lines.length);
    assert.ok(
      nodes.some(({ host }) => isIP(host) === 4),
      'works without DNS',
    );
    assert.ok(
      nodes.some(({ host }) => isIP(host) === 6),
      'works without IPv4',
    );
    assert.ok(
      nodes.some(({ tcpPorts }) => tcpPorts?.includes(443)),
      'works where only 443 is open',
    );
  });

  test('they carry the date on which they were last seen', () => {
    assert.match(PUBLIC_NODES_SEEN, /^20\d\d-\d\d-\d\d$/);
  });
});
