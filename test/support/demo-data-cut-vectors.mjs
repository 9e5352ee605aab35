// Owns the arithmetic of the demo data's cut: document vectors and their 8-bit form.

/** The idf-weighted mean of the words' vectors, each weighted once with a damped count. */
export function documentVector(words, vectorOf, idf, dimensions) {
  const counts = new Map()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  const sum = new Array(dimensions).fill(0)
  let total = 0
  for (const [word, count] of counts) {
    const vector = vectorOf(word)
    const weight = Math.max(0, idf(word)) * (1 + Math.log(count))
    if (vector === undefined || weight === 0) continue
    total += weight
    for (let i = 0; i < dimensions; i += 1) sum[i] += weight * vector[i]
  }
  return total === 0 ? sum : sum.map((value) => value / total)
}

/** The vector with length 1. */
export function normalise(vector) {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)) || 1
  return vector.map((value) => value / norm)
}

/** Of two vectors of length 1. */
export function cosine(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0)
}

/** Signed bytes, row after row, with one scale a row: value = byte × scale. */
export function quantise(rows) {
  const scales = rows.map(
    (row) => row.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-9) / 127,
  )
  const bytes = Buffer.concat(
    rows.map((row, index) =>
      Buffer.from(Int8Array.from(row.map((value) => Math.round(value / scales[index]))).buffer),
    ),
  )
  return { bytes, scales }
}
