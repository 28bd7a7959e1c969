// What Biome does not check: six rules that need types, and the bans in CONTRIBUTING.md.
import tseslint from 'typescript-eslint';

/**
 * What the files in src/ get from their callers, except for a few owners. `test/unit/lint_rules.test.ts`
 * plants a violation of each ban.
 */
const BANS = [
  {
    what: 'Take the clock from the caller, as `Clock` or `Timers` of core/clock',
    globals: ['setTimeout', 'setInterval', 'performance'],
    properties: [
      ['Date', 'now'],
      ['process', 'hrtime'],
      ['process', 'uptime'],
      ['AbortSignal', 'timeout'],
    ],
    syntax: ['NewExpression[callee.name="Date"][arguments.length=0]', 'CallExpression[callee.name="Date"]'],
    modules: ['node:timers', 'node:timers/promises', 'node:perf_hooks'],
    owners: [
      'src/core/clock.ts',
      'src/worker/run_worker.ts',
      'src/tunnel/machine.ts',
      'src/cli/process/process_io.ts',
      // Compares the time of a file.
      'src/state/role_lock.ts',
      // Downloads one list, in a command that then ends.
      'src/cli/commands/nodes_download.ts',
    ],
  },
  {
    what: 'Do not defer work to the next turn here: few files do, which keeps the order of events readable',
    globals: ['setImmediate'],
    owners: [
      'src/bridge/tox_node.ts',
      'src/bridge/worker_link.ts',
      'src/cli/process/process_io.ts',
      'src/forward/pipe.ts',
      'src/forward/stream/dialed_stream.ts',
      'src/ring/ring_ends.ts',
      'src/ring/ring_reader.ts',
      'src/tunnel/connector.ts',
      'src/tunnel/listener.ts',
      'src/tunnel/reverse_forwards.ts',
      'src/tunnel/tunnel.ts',
      'src/worker/run_worker.ts',
    ],
  },
  {
    what: 'Take random bytes from the caller',
    globals: ['crypto'],
    properties: [['Math', 'random']],
    names: [
      [
        'node:crypto',
        ['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID', 'webcrypto', 'default'],
      ],
    ],
    owners: [
      'src/cli/commands/ticket.ts',
      'src/state/identity.ts',
      'src/state/role_lock.ts',
      'src/state/places_file.ts',
      'src/state/sealed.ts',
      'src/tunnel/machine.ts',
      'src/worker/net/node_network.ts',
      'src/worker/run_worker.ts',
    ],
  },
  {
    what: 'Take sockets and name look-ups from the files that own them',
    globals: ['fetch', 'WebSocket', 'EventSource'],
    modules: [
      'node:dgram',
      'node:dns',
      'node:dns/promises',
      'node:http',
      'node:http2',
      'node:https',
      'node:tls',
    ],
    only: [['node:net', ['isIP', 'isIPv4', 'isIPv6', 'SocketAddress']]],
    owners: [
      'src/cli/commands/nodes_download.ts',
      'src/cli/process/output_stream.ts',
      'src/cli/process/answering_ports.ts',
      'src/cli/process/process_io.ts',
      'src/cli/service/metrics.ts',
      'src/cli/commands/lent_connection.ts',
      'src/control/client.ts',
      'src/control/server.ts',
      'src/core/socket_file.ts',
      'src/forward/entry/dynamic.ts',
      'src/forward/entry/local.ts',
      'src/forward/exit/dial.ts',
      'src/forward/exit/name_lookups.ts',
      'src/forward/proxy/http_connect.ts',
      'src/forward/reverse/reverse_port.ts',
      'src/forward/stream/agent.ts',
      'src/forward/stream/undici_connect.ts',
      'src/forward/udp_socket.ts',
      'src/worker/net/node_network.ts',
      'src/worker/net/open_sockets.ts',
      'src/worker/net/resolve.ts',
    ],
  },
  {
    what: 'Start programs through cli/process/process_io',
    modules: ['node:child_process', 'node:cluster'],
    owners: ['src/cli/process/process_io.ts'],
  },
  {
    what: 'Print through cli/output: a library prints nothing',
    globals: ['console'],
    modules: ['node:console'],
    owners: [],
  },
  {
    what: 'Only the command line ends its process',
    properties: [
      ['process', 'exit'],
      ['process', 'abort'],
    ],
    owners: ['src/cli/main.ts', 'src/cli/process/process_io.ts'],
  },
];

/** The rules for a file that owns none of `bans`. */
function rulesOf(bans) {
  const each = (part, make) => bans.flatMap((ban) => (ban[part] ?? []).map((one) => make(one, ban.what)));
  // A rule without options would keep those of an earlier entry.
  const rule = (options) => (options.length === 0 ? 'off' : ['error', ...options]);
  const paths = [
    ...each('modules', (name, message) => ({ name, message, allowTypeImports: true })),
    ...each('names', ([name, importNames], message) => ({ name, importNames, message })),
    ...each('only', ([name, allowImportNames], message) => ({
      name,
      allowImportNames,
      message,
      allowTypeImports: true,
    })),
  ];
  return {
    'no-restricted-globals': rule(each('globals', (name, message) => ({ name, message }))),
    'no-restricted-properties': rule([
      ...each('properties', ([object, property], message) => ({ object, property, message })),
      ...each('globals', (property, message) => ({ object: 'globalThis', property, message })),
    ]),
    'no-restricted-syntax': rule([
      ...each('syntax', (selector, message) => ({ selector, message })),
      ...each('modules', (name, message) => ({
        selector: `ImportExpression[source.value="${name}"]`,
        message,
      })),
    ]),
    '@typescript-eslint/no-restricted-imports': rule(paths.length === 0 ? [] : [{ paths }]),
  };
}

const owners = [...new Set(BANS.flatMap((ban) => ban.owners))];
/** Names that say nothing about a file's subject. */
const EMPTY_NAMES = ['common', 'helper', 'helpers', 'misc', 'util', 'utils'];

/** Older than the limit. Split them when you change them. */
const LONG_TESTS = [
  'test/e2e/library.test.ts',
  'test/unit/cli_commands.test.ts',
  'test/unit/connector_peer.test.ts',
  'test/unit/session.test.ts',
];

const ALL = [
  'src/**/*.ts',
  'test/**/*.ts',
  'bench/**/*.ts',
  'demo/**/*.ts',
  'tools/**/*.ts',
  'examples/**/*.ts',
];

export default tseslint.config(
  {
    files: ALL,
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['describe', 'test', 'it'], package: 'node:test' },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unnecessary-condition': 'error',
      '@typescript-eslint/only-throw-error': 'error',
    },
  },
  { files: ALL, ignores: LONG_TESTS, rules: { 'max-lines': ['error', 500] } },
  { files: ['src/**/*.ts'], rules: rulesOf(BANS) },
  ...owners.map((owner) => ({
    files: [owner],
    rules: rulesOf(BANS.filter((ban) => !ban.owners.includes(owner))),
  })),
  {
    files: EMPTY_NAMES.flatMap((name) => [
      `**/${name}.ts`,
      `**/*_${name}.ts`,
      `**/*_${name}.test.ts`,
      `**/${name}/**/*.ts`,
    ]),
    rules: {
      'no-restricted-syntax': ['error', { selector: 'Program', message: 'Name the file for its subject' }],
    },
  },
);
