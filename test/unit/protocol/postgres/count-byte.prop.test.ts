import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countByte } from '../../../../src/protocol/postgres/count-byte.js'

/** Few values, so that the sought one and its neighbours by one bit are frequent. */
const values = fc.constantFrom(0x2c, 0x2d, 0xac, 0x2b, 0x00, 0x01, 0x80, 0xff, 0x7f)

test('counts as one by one does, wherever the bytes begin and end', () => {
  fc.assert(
    fc.property(fc.array(values, { maxLength: 64 }), fc.nat(9), values, (all, from, byte) => {
      const bytes = Buffer.from(all).subarray(from)
      expect(countByte(bytes, byte)).toBe([...bytes].filter((one) => one === byte).length)
    }),
    { seed: 1, numRuns: 2000 },
  )
})

test('a whole word of it is four', () => {
  for (const byte of [0, 1, 0x2c, 0x7f, 0x80, 0xff])
    expect(countByte(Buffer.alloc(4099, byte), byte)).toBe(4099)
})
