// The frame against its vectors, byte for byte.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeFrame,
  encodeFrame,
  MAX_MESSAGE_BYTES,
  MAX_PAYLOAD_BYTES,
  TunnelViolation,
  TYPE,
} from '../../../src/tunnel/frame.js'

interface Vector {
  readonly name: string
  readonly hex: string
  readonly frame?: { stream: number; type: keyof typeof TYPE; argument: number; payload: string }
  readonly violation?: string
}
const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/frames/frames.json', import.meta.url), 'utf8'),
) as Vector[]

describe('frame vectors', () => {
  it.each(vectors)('$name', ({ hex, frame, violation }) => {
    const message = Buffer.from(hex, 'hex')
    if (frame === undefined) {
      expect(() => decodeFrame(message)).toThrow(violation)
      expect(() => decodeFrame(message)).toThrow(TunnelViolation)
      return
    }
    const payload = Buffer.from(frame.payload, 'hex')
    expect(decodeFrame(message)).toEqual({ ...frame, type: TYPE[frame.type], payload })
    expect(
      encodeFrame(frame.stream, TYPE[frame.type], frame.argument, payload).toString('hex'),
    ).toBe(hex)
  })

  it('takes 16 KiB of payload and not one byte more', () => {
    const full = encodeFrame(1, TYPE.DATA, 0, Buffer.alloc(MAX_PAYLOAD_BYTES))
    expect(decodeFrame(full).payload.length).toBe(MAX_PAYLOAD_BYTES)
    expect(() => decodeFrame(Buffer.concat([full, Buffer.alloc(1)]))).toThrow(
      `tunnel: a message of ${MAX_MESSAGE_BYTES + 1} bytes is longer than ${MAX_MESSAGE_BYTES}`,
    )
  })

  it('never throws anything but a violation, and decodes only what it would encode', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const message = Buffer.from(bytes)
        try {
          const { stream, type, argument, payload } = decodeFrame(message)
          expect(encodeFrame(stream, type, argument, payload).equals(message)).toBe(true)
        } catch (error) {
          if (!(error instanceof TunnelViolation)) throw error
        }
      }),
      { seed: 1, numRuns: 5000 },
    )
  })
})
