// Owns the words in which a decision names operations, collections and amounts.

import type { CollectionUse, Effect, Operation, Risk } from '../core/operation.js'
import type { HoldRule } from './compile.js'
import type { Thresholds } from './defaults.js'
import type { RecentUses } from './risks.js'

/** `delete on "notes"`. */
export function describeUse(use: CollectionUse): string {
  return use.collection === ''
    ? `${use.action} (${use.access})`
    : `${use.action} on "${use.collection}"`
}

/** `delete on "notes", search on "docs"`; the operation's name where it reaches no collection. */
export function describeOperation(operation: Operation): string {
  const uses = [...new Set(operation.collections.map(describeUse))]
  return uses.length === 0 ? operation.name : uses.join(', ')
}

/** `delete_by_filter on "notes" (whatever the filter matches) is held by holds.destructive: bulk-delete`. */
export function describeHold(hold: HoldRule, operation: Operation, risks: readonly Risk[]): string {
  const matched = hold.risks === undefined ? [] : risks.filter((risk) => hold.risks?.has(risk))
  const amounts = operation.collections
    .filter((use) => use.effect.kind !== 'none')
    .map((use) => `${use.collection}: ${describeEffect(use.effect)}`)
  const amount = amounts.length === 0 ? '' : ` (${amounts.join('; ')})`
  const why = matched.length === 0 ? '' : `: ${matched.join(', ')}`
  return `${describeOperation(operation)}${amount} is held by ${hold.rule}${why}`
}

/** `; 101 keys of "notes" within 60 s, and more than 100 are bulk; the oldest count for another 43 s`. */
export function describeRecent(
  operation: Operation,
  limits: Thresholds,
  recent: RecentUses | undefined,
): string {
  const parts = operation.collections.flatMap((use) => {
    const found = recent?.get(use)
    if (found === undefined) return []
    const [number, of, limit] =
      found.keys > limits.ids ? [found.keys, 'keys', limits.ids] : [found.rows, 'rows', limits.rows]
    if (number <= limit) return []
    const { perMs, freesMs } = found
    return `; ${number} ${of} of "${use.collection}" within ${seconds(perMs)}, and more than ${limit} are bulk; the oldest count for another ${seconds(freesMs)}`
  })
  return [...new Set(parts)].join('')
}

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)} s`

function describeEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'ids':
      return `${effect.count} named keys`
    case 'rows':
      return `${effect.count} rows`
    case 'filter':
      return 'whatever the filter matches'
    case 'all':
      return 'everything'
    case 'none':
      return 'nothing'
    case 'unknown':
      return `unknown, ${effect.reason}`
  }
}
