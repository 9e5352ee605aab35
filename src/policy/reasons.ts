// Owns the words in which a decision names operations, collections and amounts.

import type { CollectionUse, Effect, Operation, Risk } from '../core/operation.js'
import type { HoldRule } from './compile.js'

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
