// Owns the thread in which recordings are read for the index, from the outside: started when there is something to read,
// ended when there was nothing for a while.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { builtFile } from '../core/place.js'
import type { ReadJob, ReadMessage } from './read-facts.js'

const ENTRY = builtFile('control/index-worker.js')
const IDLE_MS = 5_000
/** The largest record that may be in a recording takes about half of it to read; what needs more must not have it. */
const HEAP_MIB = 512

type Answer =
  | ReadMessage
  | { readonly kind: 'over' }
  | { readonly kind: 'failed'; readonly message: string }

export class IndexThread {
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined

  /** Reads one recording; one at a time. Rejects when the thread fails. */
  async *read(job: ReadJob): AsyncGenerator<ReadMessage> {
    clearTimeout(this.#idle)
    const worker = this.#started()
    const gone = once(worker, 'exit').then(() => {
      throw new Error('the thread of the index ended')
    })
    gone.catch(() => undefined)
    let over = false
    try {
      let answer = next(worker, gone)
      worker.postMessage(job)
      for (;;) {
        const message = await answer
        if (message.kind === 'over') break
        if (message.kind === 'failed') throw new Error(message.message)
        yield message
        answer = next(worker, gone)
        worker.postMessage('next')
      }
      over = true
    } finally {
      // A thread that is in the middle of something is of no use for the next.
      if (over) this.#rest()
      else await this.close()
    }
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    clearTimeout(this.#idle)
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #started(): Worker {
    const worker =
      this.#worker ?? new Worker(ENTRY, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } })
    worker.unref()
    this.#worker = worker
    return worker
  }

  #rest(): void {
    this.#idle = setTimeout(() => void this.close(), IDLE_MS)
    this.#idle.unref()
  }
}

async function next(worker: Worker, gone: Promise<never>): Promise<Answer> {
  const told = once(worker, 'message')
  told.catch(() => undefined)
  const [message] = await Promise.race([told, gone])
  return message as Answer
}
