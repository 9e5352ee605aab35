// Owns reading the demo's data files: documents, their vectors and the small vocabulary. It must never be imported by the product.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { PACKAGE_ROOT } from '../core/place.js'

/** The checkout's top folder. The data is not copied by the build. */
export const packageRoot = fileURLToPath(PACKAGE_ROOT)

const DATA = path.join(packageRoot, 'src/demo/data')

const documentRow = z.object({
  id: z.number().int(),
  subject: z.string(),
  email: z.string(),
  body: z.string(),
  tags: z.string(),
})

export interface DemoDocument extends z.infer<typeof documentRow> {
  /** Of length 1. */
  readonly embedding: readonly number[]
}

const vocabularyFile = z.object({
  dimensions: z.number().int(),
  documents: z.number().int(),
  mean: z.array(z.number()),
  words: z.array(z.string()),
  idf: z.array(z.number()),
  scales: z.array(z.number()),
})

export interface Vocabulary {
  readonly dimensions: number
  /** The mean of all document vectors, to be taken away before normalising. */
  readonly mean: readonly number[]
  readonly words: ReadonlyMap<string, { readonly idf: number; readonly vector: readonly number[] }>
}

/** The vector with length 1; a zero vector stays one. */
export function normalise(vector: readonly number[]): number[] {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)) || 1
  return vector.map((value) => value / norm)
}

function rows(file: string, dimensions: number): number[][] {
  const bytes = readFileSync(path.join(DATA, file))
  const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: values.length / dimensions }, (_, row) => [
    ...values.subarray(row * dimensions, (row + 1) * dimensions),
  ])
}

/** The vocabulary with its vectors (about 5,000 words). Throws when the data files are not there (outside a checkout). */
export function readVocabulary(): Vocabulary {
  const file = vocabularyFile.parse(
    JSON.parse(readFileSync(path.join(DATA, 'vocabulary.ndjson'), 'utf8')),
  )
  const vectors = rows('vocabulary.vectors', file.dimensions)
  const words = file.words.map((word, index) => {
    const scale = file.scales[index] ?? 0
    const vector = (vectors[index] ?? []).map((value) => value * scale)
    return [word, { idf: file.idf[index] ?? 0, vector }] as const
  })
  return { dimensions: file.dimensions, mean: file.mean, words: new Map(words) }
}

/** All documents, in the order of their ids. Throws when the data files are not there. */
export function readDocuments(): DemoDocument[] {
  const lines = readFileSync(path.join(DATA, 'documents.ndjson'), 'utf8').trimEnd().split('\n')
  const vectors = readFileSync(path.join(DATA, 'documents.vectors')).length / lines.length
  const embeddings = rows('documents.vectors', vectors)
  return lines.map((line, index) => ({
    ...documentRow.parse(JSON.parse(line)),
    embedding: normalise(embeddings[index] ?? []),
  }))
}
