import { TunnelError } from '../../core/errors.js';
import type { Stream } from '../stream/stream.js';
import type { MuxStream, OpenRequest, StreamHandlers } from '../stream/stream_api.js';
import type { Reason } from '../wire/reasons.js';
import type { Target } from '../wire/target.js';

/** A stream that the peer asks for, until its consumer has answered. */
export class PendingRequest implements OpenRequest {
  readonly target: Target;
  readonly opener: OpenRequest['opener'];
  onCancelled: (() => void) | undefined;
  readonly #stream: Stream;
  #answered = false;
  #cancelled = false;

  constructor(stream: Stream, target: Target, opener: OpenRequest['opener']) {
    this.opener = opener;
    this.#stream = stream;
    this.target = target;
  }

  get idBytes(): Uint8Array {
    return this.#stream.idBytes;
  }

  get isCancelled(): boolean {
    return this.#cancelled;
  }

  accept(handlers: StreamHandlers): MuxStream {
    if (this.#answered || this.#cancelled) throw answeredError(this.#cancelled);
    this.#answered = true;
    this.#stream.accept(handlers);
    return this.#stream;
  }

  refuse(reason: Reason, text = ''): void {
    if (this.#answered || this.#cancelled) return;
    this.#answered = true;
    this.#stream.refuse(reason, text);
  }

  /** The peer reset the stream before it was answered. */
  cancel(): void {
    this.#cancelled = true;
    this.onCancelled?.();
  }
}

/** The error for a late or second answer. */
function answeredError(isCancelled: boolean): TunnelError {
  return isCancelled
    ? new TunnelError('ERR_STREAM_RESET', 'the far end no longer wants it; drop the connection', {
        remote: true,
      })
    : new TunnelError('ERR_CLOSED', 'the request was answered before; answer it once');
}
