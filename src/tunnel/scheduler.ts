// Owns the order in which streams send: round robin, small ones first, large ones never starved. Pure.

import type { MuxStream } from './stream.js'

/** After this many small frames in a row a large one gets its turn. */
const SMALL_RUN = 16

export class Scheduler {
  #small: MuxStream[] = []
  #large: MuxStream[] = []
  #run = 0

  /** Puts a stream in line, once, if it has something that it may send. */
  add(stream: MuxStream): void {
    if (stream.queued || !stream.sendable) return
    stream.queued = true
    if (stream.small) this.#small.push(stream)
    else this.#large.push(stream)
  }

  /** The stream whose turn it is, or undefined. The caller adds it again when it has more. */
  next(): MuxStream | undefined {
    const stream = this.#choose().shift()
    if (stream !== undefined) stream.queued = false
    return stream
  }

  #choose(): MuxStream[] {
    if (this.#large.length === 0 || (this.#small.length > 0 && this.#run < SMALL_RUN)) {
      this.#run += 1
      return this.#small
    }
    this.#run = 0
    return this.#large
  }
}
