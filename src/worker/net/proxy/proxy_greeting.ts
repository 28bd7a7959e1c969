import type { ProxyAddress } from '../../../core/proxy.js';
import { HttpGreeting } from './http_greeting.js';
import { SocksGreeting } from './socks_greeting.js';

/** Where a proxy shall lead: a numeric address without brackets, or a name, which the proxy looks up. */
export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

/** What is to be done after some bytes of the proxy. */
export type GreetingStep =
  /** Say this, which may be empty, and wait for more. */
  | { readonly kind: 'more'; readonly say: Uint8Array }
  /** From now on the connection is that to the target; `rest` are its first bytes. */
  | { readonly kind: 'done'; readonly rest: Uint8Array }
  /** In words that follow "the proxy". */
  | { readonly kind: 'failed'; readonly why: string };

/** Our end of the talk with a proxy before it leads to the target. It touches no socket. */
export interface Greeting {
  /** What is said first, once connected. */
  begin(): Uint8Array;
  /** Not to be called after `done` or `failed`. */
  take(bytes: Uint8Array): GreetingStep;
}

export function greetingFor(proxy: ProxyAddress, target: ProxyTarget): Greeting {
  const { credentials } = proxy;
  return proxy.protocol === 'http'
    ? new HttpGreeting(target, credentials)
    : new SocksGreeting(target, credentials);
}
