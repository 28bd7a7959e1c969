import { TunnelError } from '../../core/errors.js';

/** Time limit of a download, in milliseconds. */
const TIMEOUT_MS = 20_000;
const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Downloads text over https, or over http from the loopback of this machine.
 *
 * @param maxBytes longer responses are rejected
 * @throws {TunnelError} ERR_USAGE for a URL that is not allowed, ERR_NODES_UPDATE for any other failure
 */
export async function download(url: string, maxBytes: number): Promise<string> {
  let at = urlOf(url);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    for (let redirects = 0; ; redirects++) {
      const response = await fetch(at, {
        redirect: 'manual',
        signal,
        headers: { accept: 'application/json' },
      });
      const next = REDIRECTS.has(response.status) ? response.headers.get('location') : null;
      if (next === null) return await textOf(response, url, maxBytes);
      await response.body?.cancel();
      if (redirects === MAX_REDIRECTS) throw failed(url, `more than ${MAX_REDIRECTS} redirects`);
      const from = at;
      at = new URL(next, from);
      // A redirect from another machine must not reach servers on this one.
      if (!isTrusted(at) || (at.protocol !== 'https:' && from.protocol === 'https:'))
        throw failed(url, `it redirects to ${at.origin}, which is not https`);
    }
  } catch (error) {
    if (TunnelError.is(error)) throw error;
    throw failed(
      url,
      signal.aborted ? `no complete answer within ${TIMEOUT_MS / 1000} s` : reasonOf(error),
      error,
    );
  }
}

async function textOf(response: Response, url: string, maxBytes: number): Promise<string> {
  if (!response.ok) {
    await response.body?.cancel();
    throw failed(url, `the server answered ${response.status} ${response.statusText}`.trimEnd());
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Count the bytes: the length that the server claims may be wrong.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw failed(url, `has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** True when nobody on the way can change the text. */
function isTrusted({ protocol, hostname }: URL): boolean {
  const isLocal = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isLocal);
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && isTrusted(url)) return url;
  throw new TunnelError(
    'ERR_USAGE',
    `--url ${JSON.stringify(text)} is not an allowed URL: use https://, for example https://example.org/nodes.json, or http:// for a server on this machine`,
  );
}

/** Errors of fetch hide the reason in their cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

const failed = (url: string, why: string, cause?: unknown): TunnelError =>
  new TunnelError('ERR_NODES_UPDATE', `${url}: ${why}`, { cause });
