import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

describe('--proxy', () => {
  const folder = new TempFolder();
  writeFileSync(folder.file('password'), 'from a file\nand more\n');
  after(() => folder.remove());

  /** The proxy that the library receives. */
  async function proxyOf(args: readonly string[], variable?: string): Promise<unknown> {
    const bench = new CliBench();
    if (variable !== undefined) bench.env.set('TOX_WASM_TUNNEL_PROXY', variable);
    const { ended } = await bench.start(/"started"/, 'connect', ID, '22', '--ephemeral', '--json', ...args);
    bench.signal();
    assert.equal(await ended, 0);
    const options: { proxy?: unknown } = bench.calls[0]?.options ?? {};
    return options.proxy;
  }

  test('sets kind, host, port and credentials', async () => {
    const login = (user: string, password: string) => ({ credentials: { user, password } });
    for (const [url, proxy] of [
      ['socks5://127.0.0.1:9050', { protocol: 'socks5', host: '127.0.0.1', port: 9050 }],
      ['socks5h://proxy.lan:1', { protocol: 'socks5', host: 'proxy.lan', port: 1 }],
      ['http://[2001:db8::1]:3128/', { protocol: 'http', host: '2001:db8::1', port: 3128 }],
      ['http://proxy.lan', { protocol: 'http', host: 'proxy.lan', port: 80 }],
      ['socks5://proxy.lan', { protocol: 'socks5', host: 'proxy.lan', port: 1080 }],
      ['socks5://joe:a%20b%3a@h:1', { protocol: 'socks5', host: 'h', port: 1, ...login('joe', 'a b:') }],
    ] as const) {
      assert.deepEqual(await proxyOf(['--proxy', url]), proxy, url);
    }
    const file = ['--proxy-password-file', folder.file('password')];
    assert.deepEqual(await proxyOf(['--proxy', 'http://joe@h:1', ...file]), {
      protocol: 'http',
      host: 'h',
      port: 1,
      ...login('joe', 'from a file'),
    });
  });

  test('may come from the environment, and the command line takes precedence', async () => {
    const variable = 'http://joe:secret@h:1';
    assert.deepEqual(await proxyOf([], variable), {
      protocol: 'http',
      host: 'h',
      port: 1,
      credentials: { user: 'joe', password: 'secret' },
    });
    assert.deepEqual(await proxyOf(['--proxy', 'socks5://g:2'], variable), {
      protocol: 'socks5',
      host: 'g',
      port: 2,
    });
    assert.equal(await proxyOf([], ''), undefined);
  });

  test('an invalid one is refused before anything starts, without showing the password', async () => {
    for (const [args, why] of [
      [['--proxy', ''], /--proxy is empty; it looks like socks5:/],
      [['--proxy', 'h:1080'], /--proxy is no proxy that can be used; it looks like/],
      [['--proxy', 'https://joe:secret@h:1'], /--proxy is no proxy that can be used/],
      [['--proxy', 'socks4://h:1'], /--proxy is no proxy that can be used/],
      [['--proxy', 'socks5://:secret@/'], /--proxy is no proxy that can be used|the host is empty/],
      [['--proxy', 'socks5://a_-.b-:1'], /the host "[^"]+" is not a name/],
      [['--proxy', 'http://joe:secret@h:0'], /0 is no port/],
      [['--proxy', 'http://h:1/path'], /something behind its port/],
      [['--proxy', 'socks5://h:1?x'], /something behind its port/],
      [['--proxy', 'socks5://joe@h:1'], /the password for the proxy must have 1 to 255 bytes/],
      [['--proxy', 'socks5://:secret@h:1'], /the user name for the proxy must have 1 to 255 bytes/],
      [
        ['--proxy', `socks5://joe:${'x'.repeat(256)}@h:1`],
        /the password for the proxy must have 1 to 255 bytes/,
      ],
      [['--proxy', 'socks5://j%3ao:secret@h:1'], /the user name for the proxy must have no colon/],
      [['--proxy', 'socks5://joe:secret%zz@h:1'], /a % is written as %25/],
      [['--proxy', 'socks5://h:1', '--udp-port', '5'], /--udp-port and --proxy contradict each other/],
      [['--proxy-password-file', folder.file('password')], /--proxy-password-file goes with --proxy/],
      [
        ['--proxy', 'http://joe@h:1', '--proxy-password-file', '/nowhere/p'],
        /\/nowhere\/p: it cannot be read/,
      ],
    ] as const) {
      const bench = new CliBench();
      assert.equal(await bench.run('connect', ID, '22', '--ephemeral', ...args), 2, args.join(' '));
      assert.match(bench.stderr.text, why);
      assert.doesNotMatch(bench.stderr.text, /secret/);
      assert.deepEqual(bench.calls, []);
    }
  });
});
