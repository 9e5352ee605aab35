import { expect, test } from 'vitest'
import { OFFLOAD_CONCURRENCY, OFFLOAD_WAITING_MAX, offload } from '../../../src/proxy/offload.js'

/** A worker that answers in capitals. */
const SHOUTING = new URL(
  `data:text/javascript,${encodeURIComponent(`
import { parentPort } from 'node:worker_threads'
parentPort.once('message', (text) => parentPort.postMessage(text.toUpperCase()))`)}`,
)
const DYING = new URL('data:text/javascript,process.exit(3)')

test('every piece is answered, and more than may wait are refused', async () => {
  const all = Array.from({ length: OFFLOAD_CONCURRENCY + OFFLOAD_WAITING_MAX + 1 }, (_, index) =>
    offload(SHOUTING, `piece ${index}`),
  )
  const ends = await Promise.allSettled(all)
  const refused = ends.pop()
  expect(refused).toMatchObject({
    reason: { code: 'VGATE_LIMIT_EXCEEDED', message: 'too many long statements wait to be parsed' },
  })
  expect(ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason))).toEqual(
    ends.map((_, index) => `PIECE ${index}`),
  )
})

test('a worker that dies refuses its piece and gives its place to the next', async () => {
  const pieces = Array.from({ length: OFFLOAD_CONCURRENCY * 2 }, () => offload(DYING, 'x'))
  const ends = await Promise.allSettled(pieces)
  expect(ends.map((end) => end.status)).toEqual(pieces.map(() => 'rejected'))
  expect(await offload(SHOUTING, 'next')).toBe('NEXT')
})
