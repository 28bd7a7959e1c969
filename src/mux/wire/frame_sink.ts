/** Where a session's frames go: a channel's way into the outbound ring, or a test. */
export interface FrameSink {
  /**
   * Makes room for one frame of exactly `bytes`. The caller fills it in place and calls {@link commit}.
   * `urgent` frames overtake the others in the channel; `lossy` frames may be lost on their way.
   *
   * @returns undefined when there is no room now; call `Session.writable` once there is
   */
  reserve(bytes: number, urgent: boolean, lossy?: boolean): Uint8Array | undefined;
  /** Sends the frame that the last {@link reserve} made room for. */
  commit(): void;
  /** Frames committed so far, except lossy ones: BYE tells the peer how many to expect. */
  readonly framesSent: number;
  /** Bytes of all frames committed so far. */
  readonly bytesSent: number;
}
