// Owns group commit: many callers who want their bytes durable share one fdatasync. It never answers a caller
// with an fdatasync that began before that caller's bytes were written.

/** One per file. */
export class GroupSync {
  readonly #dataSync: () => Promise<void>
  #synced = 0
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(dataSync: () => Promise<void>) {
    this.#dataSync = dataSync
  }

  /** Resolves when everything written before this call is durable. `offset` gives the bytes written so far. */
  async upTo(offset: () => number): Promise<void> {
    if (this.#synced >= offset()) return
    // A waiting one has not begun yet, so it covers this caller too.
    this.#next ??= this.#running.then(async () => {
      this.#next = undefined
      const target = offset()
      const sync = this.#dataSync()
      // The next one waits for this one, however it ends; its failure is told to those who wait for it.
      this.#running = sync.catch(() => undefined)
      await sync
      this.#synced = target
    })
    await this.#next
  }

  /** Resolves when nothing is under way, however it ended: the file may be closed. */
  async settled(): Promise<void> {
    await this.#next?.catch(() => undefined)
    await this.#running
  }
}
