// Owns what the operations of one request come to together. Bulk begins with a request, not with each of its
// statements: a hundred and one small deletes in one message are one big delete.

import {
  CATALOG,
  type CollectionUse,
  isOperation,
  type Operation,
  type Unclassified,
} from './operation.js'

const keyOf = (use: CollectionUse): string => `${use.collection}\u0000${use.action}`

/** Writes whose number of keys or rows is known; the others are bulk by themselves. */
function counted(use: CollectionUse): number | undefined {
  const writes = use.access === 'write' || use.access === 'admin'
  const { effect } = use
  return writes && (effect.kind === 'ids' || effect.kind === 'rows') ? effect.count : undefined
}

function reads(operation: Operation): number | undefined {
  const governed = operation.collections.some(
    (use) => use.access !== 'none' && use.collection !== CATALOG,
  )
  const { rows } = operation.returns
  return governed && rows !== 'unbounded' ? rows : undefined
}

/**
 * The operations as policy has to judge them: each counted write carries the total of its action on its collection over
 * the whole request, each bounded read the total of rows. An operation that stands alone is given back as it is.
 */
export function asOneRequest(
  operations: readonly (Operation | Unclassified)[],
): readonly (Operation | Unclassified)[] {
  const writes = new Map<string, { count: number; times: number }>()
  let rows = 0
  let readers = 0
  for (const operation of operations) {
    if (!isOperation(operation)) continue
    const read = reads(operation)
    if (read !== undefined) {
      rows += read
      readers += 1
    }
    for (const use of operation.collections) {
      const count = counted(use)
      if (count === undefined) continue
      const known = writes.get(keyOf(use)) ?? { count: 0, times: 0 }
      writes.set(keyOf(use), { count: known.count + count, times: known.times + 1 })
    }
  }
  if (readers < 2 && [...writes.values()].every(({ times }) => times < 2)) return operations
  return operations.map((operation) =>
    isOperation(operation) ? withTotals(operation, writes, rows) : operation,
  )
}

function withTotals(
  operation: Operation,
  writes: ReadonlyMap<string, { readonly count: number }>,
  rows: number,
): Operation {
  const collections = operation.collections.map((use): CollectionUse => {
    const { effect } = use
    if (counted(use) === undefined || (effect.kind !== 'ids' && effect.kind !== 'rows')) return use
    return { ...use, effect: { ...effect, count: writes.get(keyOf(use))?.count ?? effect.count } }
  })
  const returns =
    reads(operation) === undefined ? operation.returns : { ...operation.returns, rows }
  return { ...operation, collections, returns }
}
