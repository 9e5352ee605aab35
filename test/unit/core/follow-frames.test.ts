// The frames in which a recording comes while it is written, cut anywhere.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  FOLLOW_SIGNS,
  FollowReader,
  FRAME_MAX_BYTES,
  followFrame,
} from '../../../src/core/follow-frames.js'

function reader() {
  const parts: Buffer[] = []
  let alive = 0
  const one = new FollowReader({
    bytes: async (part) => void parts.push(Buffer.from(part)),
    alive: () => {
      alive += 1
    },
  })
  return { one, bytes: () => Buffer.concat(parts), alive: () => alive }
}

it('come out as they went in, however the stream is cut', async () => {
  const frame = fc.uint8Array({ minLength: 1, maxLength: 50 })
  await fc.assert(
    fc.asyncProperty(fc.array(frame), fc.array(fc.nat(40)), async (frames, cuts) => {
      const sent = frames.flatMap((part) => [FOLLOW_SIGNS.alive, followFrame(Buffer.from(part))])
      let rest = Buffer.concat([...sent, FOLLOW_SIGNS.over])
      const { one, bytes, alive } = reader()
      for (const cut of [...cuts, rest.length]) {
        await one.take(rest.subarray(0, cut))
        rest = rest.subarray(cut)
      }
      expect(bytes()).toEqual(Buffer.concat(frames.map((part) => Buffer.from(part))))
      expect([alive(), one.end]).toEqual([frames.length, 'over'])
    }),
    { seed: 7, numRuns: 300 },
  )
})

it.each([
  ['a frame longer than frames are', Buffer.from([0, 4, 0, 1])],
  ['a plain recording', Buffer.from('vgate/recording\n')],
  ['bytes behind the end', Buffer.concat([FOLLOW_SIGNS.again, Buffer.from([0])])],
])('%s is no such stream', async (_, bytes) => {
  await expect(reader().one.take(bytes)).rejects.toThrow(RangeError)
})

it('takes the longest frame, and a cut stream has no end', async () => {
  const { one, bytes } = reader()
  await one.take(followFrame(Buffer.alloc(FRAME_MAX_BYTES)).subarray(0, -1))
  expect([bytes().length, one.end]).toEqual([FRAME_MAX_BYTES - 1, undefined])
})
