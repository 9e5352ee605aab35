// Owns what every operator and function of pgvector (0.5 to 0.8) does with an embedding. What is not in it is taken for a
// computation, which is refused on a hidden one; a test holds it against the extension's own catalogue.

import type { PostgresProduct } from '../protocol/table.js'

type Metric = PostgresProduct['distanceOperators'][string]

/**
 * A metric: a distance, which may leave rounded; `other` may order but not leave. `embedding`: makes an embedding of one,
 * a distance to which is `other`. `value`: anything else, refused on a hidden embedding.
 */
export type Meaning = Metric | 'embedding' | 'value'

const meaning = <M extends Meaning>(what: M, names: string): [string, M][] =>
  names.split(/\s+/).map((name) => [name, what])

const of = (type: string, names: string): string =>
  names
    .split(' ')
    .map((name) => `${type}_${name}`)
    .join(' ')

/** Operators by their names. */
export const OPERATORS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['<->', 'l2'],
  ['<#>', 'inner'],
  ['<=>', 'cosine'],
  ['<+>', 'l1'],
  // Bit strings: a single bit more or less is told by any rounding.
  ['<~>', 'other'],
  ['<%>', 'other'],
  ...meaning('value', '+ - * || = <> < <= > >='),
])

/** Functions by their names; what several types share means the same for all. */
export const FUNCTIONS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['l2_distance', 'l2'],
  ['inner_product', 'inner'],
  ['cosine_distance', 'cosine'],
  ['l1_distance', 'l1'],
  ['hamming_distance', 'other'],
  ['jaccard_distance', 'other'],
  ...meaning(
    'inner',
    `vector_negative_inner_product halfvec_negative_inner_product sparsevec_negative_inner_product`,
  ),
  ...meaning('embedding', 'binary_quantize subvector l2_normalize'),
  // They grow with the vector that is asked with, so that rounding them protects nothing.
  ...meaning(
    'value',
    `vector_l2_squared_distance halfvec_l2_squared_distance sparsevec_l2_squared_distance
vector_spherical_distance halfvec_spherical_distance`,
  ),
  ...meaning('value', 'vector_dims vector_norm l2_norm avg sum'),
  // Casts.
  ...meaning(
    'value',
    `vector halfvec sparsevec array_to_vector array_to_halfvec array_to_sparsevec vector_to_float4 vector_to_halfvec
vector_to_sparsevec halfvec_to_float4 halfvec_to_vector halfvec_to_sparsevec sparsevec_to_vector sparsevec_to_halfvec`,
  ),
  // Behind operators, aggregates, types and indexes.
  ...['vector', 'halfvec', 'sparsevec'].flatMap((type) =>
    meaning('value', of(type, 'in out recv send typmod_in eq ne lt le gt ge cmp')),
  ),
  ...['vector', 'halfvec'].flatMap((type) =>
    meaning('value', of(type, 'add sub mul concat accum combine avg')),
  ),
  ...meaning(
    'value',
    `hnswhandler ivfflathandler hnsw_bit_support hnsw_halfvec_support hnsw_sparsevec_support ivfflat_bit_support
ivfflat_halfvec_support`,
  ),
])

const isMetric = (what: Meaning): what is Metric => what !== 'embedding' && what !== 'value'

/** The distances of a table. */
export function distancesOf(table: ReadonlyMap<string, Meaning>): Record<string, Metric> {
  return Object.fromEntries(
    [...table].flatMap(([name, what]) => (isMetric(what) ? [[name, what] as const] : [])),
  )
}

/** Functions that make an embedding of one. */
export function embeddingFunctions(): readonly string[] {
  return [...FUNCTIONS].flatMap(([name, what]) => (what === 'embedding' ? [name] : []))
}
