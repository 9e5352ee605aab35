// Owns counting one byte value in many bytes: the dimension of a vector given as text is its commas, and a result may
// hold megabytes of them.

const WORD = 4
const LOW_BITS = 0x7f7f7f7f
const ONES = 0x01010101

/** How often `byte` (0–255) stands in `bytes`. Four at a time: in a word XORed with the byte, what is sought is zero. */
export function countByte(bytes: Buffer, byte: number): number {
  const { length, byteOffset } = bytes
  // Too few to reach an aligned word.
  if (length < WORD) return countPlainly(bytes, byte, 0, length)
  const head = (WORD - (byteOffset % WORD)) % WORD
  const words = Math.floor((length - head) / WORD)
  const tail = head + words * WORD
  let count = countPlainly(bytes, byte, 0, head) + countPlainly(bytes, byte, tail, length)
  const pattern = Math.imul(byte, ONES)
  const view = new Uint32Array(bytes.buffer, byteOffset + head, words)
  for (let at = 0; at < words; at += 1) {
    const word = (view[at] ?? 0) ^ pattern
    // The top bit of each byte of `zeros` is set exactly where the byte of `word` is zero (Warren, Hacker's Delight, 6-1).
    const zeros = ~(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS)
    if (zeros !== 0) count += Math.imul(zeros >>> 7, ONES) >>> 24
  }
  return count
}

function countPlainly(bytes: Buffer, byte: number, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to; at += 1) if (bytes[at] === byte) count += 1
  return count
}
