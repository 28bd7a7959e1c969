/** The way out for frames: a ring's writer, the channel, or a test. */
export interface FrameSink {
  /**
   * Room for one frame of exactly `bytes`, to be filled in place and then {@link commit}ted.
   * `urgent` frames overtake the others in the channel; `lossy` ones may get lost on their way.
   *
   * @returns undefined when there is no room now: `Session.writable` is to be called later
   */
  reserve(bytes: number, urgent: boolean, lossy?: boolean): Uint8Array | undefined;
  /** Sends what the last {@link reserve} gave. */
  commit(): void;
}
