// Values on the wire: binary forms, parameters, and what is recorded of them.

import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  binaryText,
  recordedParameter,
  recordedValue,
  toParameter,
  vectorSize,
  wholeValue,
} from '../../../../src/protocol/postgres/values.js'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const INT_ARRAY = hex(
  '00000001 00000000 00000017 00000003 00000001 00000004 00000001 ffffffff 00000004 fffffffe',
)
const TEXT_ARRAY = hex('00000001 00000000 00000019 00000002 00000001 00000003 612262 00000002 635c')

test.each([
  [16, '01', 't'],
  [21, 'ffff', '-1'],
  [23, '00000007', '7'],
  [20, '7fffffffffffffff', '9223372036854775807'],
  [26, 'ffffffff', '4294967295'],
  [701, '3ff8000000000000', '1.5'],
  [700, '3fc00000', '1.5'],
  [2950, '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
  [25, '61c3a4', 'aä'],
  [3802, '017b7d', '{}'],
  [1007, INT_ARRAY.toString('hex'), '{1,NULL,-2}'],
  [1009, TEXT_ARRAY.toString('hex'), '{"a\\"b","c\\\\"}'],
  [1007, '000000000000000000000017', '{}'],
  [23, '07', undefined],
  [3802, '027b7d', undefined],
  [25, 'ff', undefined],
  [1007, INT_ARRAY.subarray(0, -1).toString('hex'), undefined],
  [1007, TEXT_ARRAY.toString('hex'), undefined],
  [0, '00000007', undefined],
  [90000, '00', undefined],
])('type %i: %s is %j', (type, bytes, text) => {
  expect(binaryText(type, hex(bytes))).toBe(text)
})

test('a parameter is text, NULL or not known', () => {
  expect(toParameter(0, 0, Buffer.from('x'))).toEqual({ known: true, value: 'x' })
  expect(toParameter(23, 1, hex('00000001'))).toEqual({ known: true, value: '1' })
  expect(toParameter(0, 1, hex('00000001'))).toMatchObject({ known: false })
  expect(toParameter(23, 1, null)).toEqual({ known: true, value: null })
  expect(toParameter(25, 0, hex('ff'))).toEqual({ known: false })
})

test('a vector is known by its dimension', () => {
  expect(vectorSize(0, Buffer.from('[1,2,3]'))).toBe(3)
  expect(vectorSize(0, Buffer.from('{1:0.5,9:1}/1000'))).toBe(1000)
  expect(vectorSize(1, hex('0002 0000 3f800000 3f800000'))).toBe(2)
  expect(vectorSize(0, Buffer.from('hello'))).toBeUndefined()
})

test('parameters are recorded reduced', () => {
  expect(recordedParameter(0, false, 0, Buffer.from('[0.125,0.25,0.5,0.75]'))).toBe('vector(4)')
  expect(recordedParameter(90000, true, 1, hex('0001 0000 3f800000'))).toBe('vector(1)')
  expect(recordedParameter(17, false, 1, Buffer.alloc(9))).toBe('bytes(9)')
  expect(recordedParameter(23, false, 0, Buffer.from('5'))).toBe('5')
  expect(recordedParameter(25, false, 0, null)).toBeNull()
  expect(recordedParameter(25, false, 0, Buffer.from('x'.repeat(9000)))).toMatch(
    /^x{256}… \(9000 bytes\)$/,
  )
})

test('values are recorded whole up to 8 KiB', () => {
  expect(recordedValue(25, false, 0, Buffer.from('x'.repeat(8192)))).toHaveLength(8192)
  expect(recordedValue(25, false, 0, Buffer.from('x'.repeat(8193)))).toMatchObject({
    bytes: 8193,
    head: 'x'.repeat(256),
  })
  expect(recordedValue(90000, true, 0, Buffer.from('[1,2]'))).toEqual({ vector: 2 })
  expect(recordedValue(1114, false, 1, Buffer.alloc(8))).toMatchObject({ bytes: 8, head: '' })
  expect(recordedValue(25, false, 0, null)).toBeNull()
})

test('keeps all of a value for `record: full`, and the norm of an embedding in each of its forms', () => {
  const vector = Buffer.from('0002000040400000' + '40800000', 'hex')
  const half = Buffer.from('0002000042004400', 'hex')
  const sparse = Buffer.from('0000000500000002000000000000000000000004' + '4040000040800000', 'hex')
  for (const [format, bytes, size] of [
    [1, vector, 2],
    [1, half, 2],
    [1, sparse, 5],
    [0, Buffer.from('[3,4]'), 2],
    [0, Buffer.from('{1:3,5:4}/5'), 5],
  ] as const) {
    const kept = wholeValue(90000, true, format, bytes)
    expect(kept).toMatchObject({ vector: size, norm: 5, data: bytes.toString('base64') })
    expect(kept).toMatchObject({ sha256: createHash('sha256').update(bytes).digest('hex') })
  }
  expect(wholeValue(25, false, 0, Buffer.from('x'.repeat(9000)))).toHaveLength(9000)
  const blob = Buffer.from([0xff, 0, 1])
  expect(wholeValue(25, false, 0, blob)).toMatchObject({ bytes: 3, head: '', data: '/wAB' })
  expect(wholeValue(25, false, 0, null)).toBeNull()
})
