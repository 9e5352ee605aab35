// Owns the Euclidean norm of an embedding in any of its forms on the wire: vector, halfvec and sparsevec, text and binary,
// and of an array that becomes one.

/** The norm of a vector as text, or undefined where it is none. */
export function textNorm(text: string): number | undefined {
  return normOf(textElements(text.trim()))
}

/** The norm, or undefined where the bytes are not what they should be. */
export function vectorNorm(format: number, bytes: Buffer): number | undefined {
  return normOf(format === 1 ? binaryElements(bytes) : textElements(bytes.toString('latin1')))
}

function normOf(elements: readonly number[] | undefined): number | undefined {
  const sum = elements?.reduce((total, value) => total + value * value, 0)
  return sum === undefined || !Number.isFinite(sum) ? undefined : Math.sqrt(sum)
}

function textElements(text: string): readonly number[] | undefined {
  const inner = /^\[([^\]]*)\]$|^\{([^}]*)\}(?:\/\d+)?$/.exec(text)
  const list = inner?.[1] ?? inner?.[2]
  if (list === undefined) return undefined
  if (list.trim() === '') return []
  // Elements of a sparse one are `index:value`, those of an array may stand in quotes.
  const number = (element: string): number =>
    Number(element.slice(element.indexOf(':') + 1).replace(/^"([^"]+)"$/, '$1'))
  return list.split(',').map(number)
}

function binaryElements(bytes: Buffer): readonly number[] | undefined {
  if (bytes.length < 4) return undefined
  const size = bytes.readUInt16BE(0)
  const sparse = bytes.length < 12 ? -1 : bytes.readInt32BE(4)
  const isSparse = sparse >= 0 && bytes.length === 12 + 8 * sparse
  // One of very many dimensions can look like another one of few: then nobody knows.
  if (isSparse && (bytes.length === 4 + 4 * size || bytes.length === 4 + 2 * size)) return undefined
  const at = (count: number, read: (index: number) => number): number[] =>
    Array.from({ length: count }, (_, index) => read(index))
  if (bytes.length === 4 + 4 * size) return at(size, (index) => bytes.readFloatBE(4 + 4 * index))
  if (bytes.length === 4 + 2 * size)
    return at(size, (index) => half(bytes.readUInt16BE(4 + 2 * index)))
  // sparsevec: dimension, count, unused, then as many indices and as many values.
  return isSparse
    ? at(sparse, (index) => bytes.readFloatBE(12 + 4 * sparse + 4 * index))
    : undefined
}

/** IEEE 754 binary16. */
function half(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
