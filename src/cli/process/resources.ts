type Release = () => Promise<void> | void;

/**
 * A stack of acquired resources. Each is pushed right after it is acquired; {@link release} releases them in
 * reverse order. Node 20 has no `AsyncDisposableStack`.
 */
export class Resources {
  readonly #releases: Release[] = [];

  /** Registers how to release a resource. */
  push(release: Release): void {
    this.#releases.push(release);
  }

  /** Releases everything, even when a release fails. @throws the first error, after all releases */
  async release(): Promise<void> {
    const errors: unknown[] = [];
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      try {
        await release();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
