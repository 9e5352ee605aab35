// Owns work that is too long for the event loop: one worker thread per piece, ended after it, because the parser's
// memory never shrinks.

import { Worker } from 'node:worker_threads'
import { VgateError } from '../core/errors.js'

export const OFFLOAD_DEADLINE_MS = 10_000
export const OFFLOAD_CONCURRENCY = 2

/** Pieces that wait for a worker; more are refused. Each may hold one long statement. */
export const OFFLOAD_WAITING_MAX = 32

let running = 0
const waiting: (() => void)[] = []

/**
 * Sends `input` to a fresh worker of `entry` and answers with its first message. Rejects on a crash, after 10 s, and
 * with VGATE_LIMIT_EXCEEDED while too many wait.
 */
export async function offload(entry: URL, input: string): Promise<unknown> {
  if (running < OFFLOAD_CONCURRENCY) running += 1
  else await turn()
  try {
    return await runOnce(entry, input)
  } finally {
    // Handed on without letting go of it, or a newcomer could take it as well.
    const next = waiting.shift()
    if (next === undefined) running -= 1
    else next()
  }
}

function turn(): Promise<void> {
  if (waiting.length >= OFFLOAD_WAITING_MAX) {
    throw new VgateError('VGATE_LIMIT_EXCEEDED', 'too many long statements wait to be parsed', {
      hint: 'try again, or send values as parameters',
    })
  }
  return new Promise((resolve) => waiting.push(resolve))
}

function runOnce(entry: URL, input: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entry)
    const fail = (cause: unknown): void =>
      reject(
        new VgateError('VGATE_OPERATION_UNKNOWN', 'the statement could not be parsed', { cause }),
      )
    const deadline = setTimeout(() => {
      fail(new Error('deadline'))
      void worker.terminate()
    }, OFFLOAD_DEADLINE_MS)
    worker.once('message', (answer: unknown) => {
      resolve(answer)
      void worker.terminate()
    })
    worker.once('error', fail)
    worker.once('exit', () => {
      clearTimeout(deadline)
      fail(new Error('the worker ended without an answer'))
    })
    worker.postMessage(input)
  })
}
