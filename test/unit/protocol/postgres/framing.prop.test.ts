// Any chunking of a stream is cut into the same messages, and refused at the same place.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clientCap, Framer } from '../../../../src/protocol/postgres/framing.js'
import { message } from '../../../../src/protocol/postgres/wire.js'

const CAP = 100

function cut(chunks: readonly Buffer[]): { messages: string[]; error: string | undefined } {
  const framer = new Framer((type) => clientCap(type, true, CAP))
  const messages: string[] = []
  try {
    for (const chunk of chunks)
      framer.push(chunk, (_type, whole) => messages.push(whole.toString('hex')))
  } catch (error) {
    return { messages, error: error instanceof Error ? error.message : 'not an error' }
  }
  return { messages, error: undefined }
}

function split(stream: Buffer, at: readonly number[]): Buffer[] {
  const cuts = [...new Set(at.map((one) => one % (stream.length + 1)))].sort((a, b) => a - b)
  return [0, ...cuts].map((from, index) => stream.subarray(from, cuts[index] ?? stream.length))
}

const wellFormed = fc
  .tuple(
    fc.constantFrom('Q', 'P', 'B', 'D', 'E', 'C', 'd', 'f'),
    fc.uint8Array({ maxLength: CAP - 4 }),
  )
  .map(([type, body]) => message(type, Buffer.from(body)))
const anything = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const cuts = fc.array(fc.nat(), { maxLength: 20 })

test('well-formed messages come out whole under any chunking', () => {
  fc.assert(
    fc.property(fc.array(wellFormed, { maxLength: 10 }), cuts, (messages, at) => {
      const found = cut(split(Buffer.concat(messages), at))
      expect(found).toEqual({
        messages: messages.map((one) => one.toString('hex')),
        error: undefined,
      })
    }),
    { seed: 1, numRuns: 500 },
  )
})

test('arbitrary bytes are judged alike under any chunking', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(wellFormed, anything), { maxLength: 8 }), cuts, (pieces, at) => {
      const stream = Buffer.concat(pieces)
      expect(cut(split(stream, at))).toEqual(cut([stream]))
    }),
    { seed: 1, numRuns: 1000 },
  )
})

test.each([
  ['5100000000', 'a message says it has 0 bytes'],
  ['5100000003', 'a message says it has 3 bytes'],
  ['51ffffffff', 'a message of 4294967295 bytes is longer than the 100 allowed'],
  ['517fffffff', 'a message of 2147483647 bytes is longer than the 100 allowed'],
  ['5100000065', 'a message of 101 bytes is longer than the 100 allowed'],
  ['5a00000005', 'message type 0x5a may not come here'],
  ['7000000008', 'message type 0x70 may not come here'],
  ['5300000005', 'a message of 5 bytes is longer than the 4 allowed'],
])('the header %s is refused before anything is buffered', (hex, error) => {
  expect(cut([Buffer.from(hex, 'hex')])).toEqual({ messages: [], error })
})

test('a stopped framer answers what it did not look at', () => {
  const framer = new Framer(() => CAP)
  const one = message('Z', 'I')
  const rest = framer.push(Buffer.concat([one, one, Buffer.from('51', 'hex')]), () => framer.stop())
  expect(rest.toString('hex')).toBe(`${one.toString('hex')}51`)
})
