/** Keeps a server from answering until the test lets it. */
export class Hold {
  #arrived: (() => void) | undefined;
  #release: (() => void) | undefined;
  /** Resolves when the server has the first job since {@link begin}. */
  reached: Promise<void> = Promise.resolve();
  /** Resolves when the server may answer. */
  released: Promise<void> = Promise.resolve();

  /** From now on, the server holds its answers. */
  begin(): void {
    this.reached = new Promise((resolve) => {
      this.#arrived = resolve;
    });
    this.released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** Lets the server answer. */
  release(): void {
    this.#release?.();
  }

  /** For the server: a job is here. Resolves when it may be answered. */
  async pass(): Promise<void> {
    this.#arrived?.();
    await this.released;
  }
}
