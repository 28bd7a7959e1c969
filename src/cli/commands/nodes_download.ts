import { TunnelError } from '../../core/errors.js';

/** The longest that a download takes, in milliseconds. */
const TIMEOUT_MS = 20_000;
const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * The text that a URL names: by https, or from this machine's own loopback by http too.
 *
 * @param maxBytes a longer one is refused
 * @throws {TunnelError} ERR_USAGE for a URL that is not to be used, ERR_NODES_UPDATE for all else
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
      if (redirects === MAX_REDIRECTS) throw failed(url, `it leads on more than ${MAX_REDIRECTS} times`);
      const from = at;
      at = new URL(next, from);
      // Nor may another machine have us ask what listens on this one.
      if (!isTrusted(at) || (at.protocol !== 'https:' && from.protocol === 'https:'))
        throw failed(url, `it leads on to ${at.origin}, which is not https`);
    }
  } catch (error) {
    if (TunnelError.is(error)) throw error;
    throw failed(
      url,
      signal.aborted ? `it did not come within ${TIMEOUT_MS / 1000} s` : reasonOf(error),
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
  // Counted as it comes: what the server says of its length need not be true.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw failed(url, `it has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Nobody on the way can have changed what comes from there. */
function isTrusted({ protocol, hostname }: URL): boolean {
  const isLocal = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isLocal);
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && isTrusted(url)) return url;
  throw new TunnelError(
    'ERR_USAGE',
    `${JSON.stringify(text)} is no URL that a list is taken from: it begins with https://, or with http:// when it is on this machine`,
  );
}

/** fetch says no more than that it failed; its cause knows why. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

const failed = (url: string, why: string, cause?: unknown): TunnelError =>
  new TunnelError('ERR_NODES_UPDATE', `${url}: ${why}`, { cause });
