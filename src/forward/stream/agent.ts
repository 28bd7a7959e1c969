import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Endpoint } from '../../rules/endpoint.js';
import type { TunnelStream } from './tunnel_stream.js';

type Dial = (target: Endpoint) => TunnelStream;

/** An agent for `node:http` whose connections the far end dials. The far end also resolves the host names. */
export class TunnelAgent extends Agent {
  readonly #dial: Dial;

  constructor(dial: Dial, options?: AgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: ClientRequestArgs): Duplex {
    return idling(this.#dial(endpointOf(options, 80)), options);
  }
}

/**
 * An agent for `node:https` whose connections the far end dials. TLS runs end to end, from here to the
 * target.
 */
export class TunnelHttpsAgent extends HttpsAgent {
  readonly #dial: Dial;

  constructor(dial: Dial, options?: HttpsAgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: RequestOptions): Duplex | null | undefined {
    // Node.js's own agent adds TLS and caches its sessions. Its types do not say that it takes a socket.
    const overSocket: RequestOptions & { readonly socket: Duplex } = {
      ...options,
      socket: this.#dial(endpointOf(options, 443)),
    };
    const secure = super.createConnection(overSocket);
    // Node.js sets no timeout on a connection over a stream of ours.
    return secure instanceof TLSSocket ? idling(secure, options) : secure;
  }
}

/** Sets the agent's `timeout`, which is part of the options of each connection: `net.connect` does the same. */
function idling<Connection extends TunnelStream | TLSSocket>(
  connection: Connection,
  { timeout }: { readonly timeout?: number | undefined },
): Connection {
  if (timeout !== undefined && timeout > 0) connection.setTimeout(timeout);
  return connection;
}

function endpointOf({ socketPath, host, port }: ClientRequestArgs, defaultPort: number): Endpoint {
  const path = socketPath ?? undefined;
  if (path !== undefined) return { path };
  return { host: host ?? 'localhost', port: Number(port ?? defaultPort) };
}
