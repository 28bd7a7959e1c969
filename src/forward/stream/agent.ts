import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Endpoint } from '../../rules/endpoint.js';

/** Has the far end dial. */
type Dial = (target: Endpoint) => Duplex;

/** An agent for `node:http` whose connections the far end dials: its names are the far end's names. */
export class TunnelAgent extends Agent {
  readonly #dial: Dial;

  constructor(dial: Dial, options?: AgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: ClientRequestArgs): Duplex {
    return this.#dial(endpointOf(options, 80));
  }
}

/** The same for `node:https`: TLS is spoken from here to the target, through the tunnel. */
export class TunnelHttpsAgent extends HttpsAgent {
  readonly #dial: Dial;

  constructor(dial: Dial, options?: HttpsAgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: RequestOptions): Duplex | null | undefined {
    // Node's own makes the TLS, and keeps its sessions; the types do not know that it takes a socket.
    const overSocket: RequestOptions & { readonly socket: Duplex } = {
      ...options,
      socket: this.#dial(endpointOf(options, 443)),
    };
    return super.createConnection(overSocket);
  }
}

function endpointOf({ socketPath, host, port }: ClientRequestArgs, defaultPort: number): Endpoint {
  const path = socketPath ?? undefined;
  if (path !== undefined) return { path };
  return { host: host ?? 'localhost', port: Number(port ?? defaultPort) };
}
