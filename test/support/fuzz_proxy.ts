import { HttpConnectHandshake } from '../../src/forward/proxy/http_connect.js';
import type { ProxyHandshake, ProxyStep } from '../../src/forward/proxy/proxy_handshake.js';
import { SocksHandshake } from '../../src/forward/proxy/socks.js';
import { printHostPort } from '../../src/rules/endpoint.js';
import { parseTarget } from '../../src/rules/forward_spec.js';
import type { Greeting, GreetingStep } from '../../src/worker/net/proxy_greeting.js';
import { HttpGreeting, SocksGreeting } from '../../src/worker/net/proxy_greeting.js';
import { bytesTarget, type FuzzTarget, same, unhex, type Verdict } from './fuzz_target.js';

const text = (lines: string): Uint8Array =>
  Uint8Array.from(Buffer.from(`${lines.replaceAll('\n', '\r\n')}\r\n\r\n`));

/** Drops the answer, because the last step does not repeat the answer of an earlier piece. */
const outcome = (step: ProxyStep): unknown => ({
  kind: step.kind,
  ...(step.kind === 'target' && { target: step.target, rest: Buffer.from(step.rest).toString('hex') }),
  ...(step.kind === 'failed' && { why: step.why }),
});

/** A client's greeting means the same in one piece and in several, and its target can be dialled. */
function proxyTarget(
  name: string,
  seeds: readonly Uint8Array[],
  fresh: readonly (() => ProxyHandshake)[],
): FuzzTarget {
  return bytesTarget(name, 1, seeds, 1024, (input) => {
    let verdict: Verdict = 'refused';
    for (const make of fresh) {
      const whole = make().take(input);
      const cut = input.length >> 1;
      const parts = make();
      const first = parts.take(input.subarray(0, cut));
      if (first.kind === 'more') same(name, outcome(whole), outcome(parts.take(input.subarray(cut))));
      if (whole.kind !== 'target') continue;
      same('target', parseTarget(printHostPort(whole.target)), whole.target);
      verdict = 'accepted';
    }
    return verdict;
  });
}

/** The answer of a proxy means the same in one piece and byte by byte. */
function greetingTarget(name: string, seeds: readonly Uint8Array[], fresh: () => Greeting): FuzzTarget {
  return bytesTarget(name, 1, seeds, 1024, (input) => {
    const last = (pieces: readonly Uint8Array[]): GreetingStep => {
      const greeting = fresh();
      let step: GreetingStep = { kind: 'more', say: greeting.begin() };
      for (const piece of pieces) if (step.kind === 'more') step = greeting.take(piece);
      return step;
    };
    const step = last([input]);
    // When bytes arrive one at a time, the end of the bytes for the target is unknown.
    const kind = last(Array.from(input, (byte) => Uint8Array.of(byte))).kind;
    if (step.kind === 'done') same(name, kind, step.kind);
    return step.kind === 'done' ? 'accepted' : 'refused';
  });
}

/** The targets for input that programs on this machine send to our proxies, and other proxies to us. */
export function proxyTargets(): FuzzTarget[] {
  const authorize = (user: Uint8Array, password: Uint8Array): boolean => user.length === password.length;
  return [
    proxyTarget(
      'socks',
      [
        unhex('05 01 00 05 01 00 01 7f000001 0016'),
        unhex('05 02 00 02 01 01 61 01 62 05 01 00 03 09 6c6f63616c686f7374 0050 aabb'),
        unhex('05 01 02 01 01 61 01 62 05 01 00 04 20010db8000000000000000000000001 01bb'),
      ],
      [() => new SocksHandshake(), () => new SocksHandshake(authorize)],
    ),
    greetingTarget(
      'socks proxy answer',
      [
        unhex('05 00 00 01 7f000001 0050 aabb'),
        unhex('05 05 00 01 00000000 0000'),
        unhex('05 00 00 03 02 6162 0050'),
        unhex('05 00 00 04 20010db8000000000000000000000001 0050'),
      ],
      () => {
        const greeting = new SocksGreeting({ host: 'a.example', port: 1 }, undefined);
        greeting.take(Uint8Array.of(5, 0));
        return greeting;
      },
    ),
    greetingTarget(
      'http proxy answer',
      [text('HTTP/1.1 200 Connection established\nVia: x'), text('HTTP/1.0 407 No\nConnection: close')],
      () => new HttpGreeting({ host: 'a.example', port: 1 }, undefined),
    ),
    proxyTarget(
      'http connect',
      [
        text('CONNECT db.lan:443 HTTP/1.1\nHost: db.lan:443\nProxy-Authorization: Basic YTpi'),
        text('CONNECT [2001:db8::1]:80 HTTP/1.0'),
        text('GET http://a/ HTTP/1.1\nHost: a'),
      ],
      [() => new HttpConnectHandshake(), () => new HttpConnectHandshake(authorize)],
    ),
  ];
}
