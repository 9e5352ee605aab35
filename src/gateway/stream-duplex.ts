// Owns the view of one tunnel stream as a Node stream, so that the data plane knows nothing of tunnels.

import { Duplex } from 'node:stream'
import { type MuxStream, RESET } from '../tunnel/stream.js'

/** A tunnel stream as a Duplex. Credit goes back to the client when the bytes have been read out. */
export class StreamDuplex extends Duplex {
  readonly #stream: MuxStream
  #unread = 0
  #resume: (() => void) | undefined
  #ended: (() => void) | undefined

  constructor(stream: MuxStream) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 })
    this.#stream = stream
    stream.attach({
      data: (bytes) => {
        this.#unread += bytes.length
        if (this.push(bytes)) this.#returnCredit()
      },
      end: () => this.push(null),
      reset: () => this.destroy(),
      drain: () => this.#drained(),
      flushed: () => this.#finished(),
    })
  }

  override _read(): void {
    this.#returnCredit()
  }

  override _write(
    bytes: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    if (this.#stream.over) {
      done(new Error('the client is gone'))
      return
    }
    if (this.#stream.write(bytes)) done()
    else this.#resume = done
  }

  override _final(done: (error?: Error | null) => void): void {
    // Done too early, Node would destroy the stream while data still waits for the client's credit.
    this.#ended = () => done()
    if (this.#stream.over) this.#finished()
    else this.#stream.end()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#resume = undefined
    if (!this.#stream.over) this.#stream.reset(RESET.ENDED, 'closed by the gateway')
    done(error)
  }

  #returnCredit(): void {
    const bytes = this.#unread
    this.#unread = 0
    if (bytes > 0 && !this.#stream.over) this.#stream.consumed(bytes)
  }

  #finished(): void {
    const ended = this.#ended
    this.#ended = undefined
    ended?.()
  }

  #drained(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }
}
