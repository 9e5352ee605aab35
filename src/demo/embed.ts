// Owns the embedding of a typed phrase, by the same rule as the documents (docs/demo-data.md). No model, no network.

import { normalise, readVocabulary, type Vocabulary } from './documents.js'

let loaded: Vocabulary | undefined

/**
 * The phrase's embedding, of length 1: the idf-weighted mean of its words' vectors, less the documents' mean.
 * Words outside the vocabulary are left out. Throws a RangeError when none is known.
 */
export function embedPhrase(text: string): number[] {
  loaded ??= readVocabulary()
  const vocabulary = loaded
  const words = new Set(
    (text.toLowerCase().match(/[a-z][a-z']+/g) ?? []).map((word) => word.replace(/'s?$/, '')),
  )
  const sum = new Array<number>(vocabulary.dimensions).fill(0)
  let total = 0
  for (const word of words) {
    const entry = vocabulary.words.get(word)
    if (entry === undefined) continue
    total += entry.idf
    entry.vector.forEach((value, index) => {
      sum[index] = (sum[index] ?? 0) + entry.idf * value
    })
  }
  if (total === 0)
    throw new RangeError('the demo knows no word of this phrase: try everyday English words')
  return normalise(sum.map((value, index) => value / total - (vocabulary.mean[index] ?? 0)))
}

/** pgvector's text form, e.g. `[0.12,-0.5]`. */
export function vectorLiteral(vector: readonly number[]): string {
  return `[${vector.map((value) => Number(value.toPrecision(6))).join(',')}]`
}
