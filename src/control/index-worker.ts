// Owns the thread that reads recordings for the index: one job at a time, one message after the other, the next when
// the last was taken.

import { parentPort } from 'node:worker_threads'
import { type ReadJob, readFacts } from './read-facts.js'

const port = parentPort
if (port !== null) {
  port.on('message', (asked: ReadJob | 'next') => {
    if (asked !== 'next') void answer(asked)
  })
  const taken = (): Promise<unknown> =>
    new Promise((resolve) => {
      const listen = (message: unknown): void => {
        if (message !== 'next') return
        port.off('message', listen)
        resolve(message)
      }
      port.on('message', listen)
    })
  const answer = async (job: ReadJob): Promise<void> => {
    try {
      for await (const message of readFacts(job)) {
        const next = taken()
        port.postMessage(message)
        await next
      }
      port.postMessage({ kind: 'over' })
    } catch (error) {
      port.postMessage({
        kind: 'failed',
        message: error instanceof Error ? error.message : 'failed',
      })
    }
  }
}
