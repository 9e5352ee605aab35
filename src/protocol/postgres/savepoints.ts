// Owns which savepoints a transaction has: what was made behind one goes when it is rolled back to. Where it does not
// know, more must go, never less: a name that went too early is refused, one that stayed would vouch for another object.

import type { StatementEffects } from './statement.js'

/** The innermost savepoint and those around it. */
export interface Savepoints {
  readonly name: string
  /** What has a higher number was made behind it. */
  readonly serial: number
  readonly outer: Savepoints | undefined
  readonly depth: number
}

/** Deeper ones are not kept: rolling back to them is rolling back to one further out. */
const DEPTH_MAX = 1000

/** The number behind which all goes with ROLLBACK TO of this name; 0 where no such savepoint is known. */
export function rolledBackTo(now: Savepoints | undefined, name: string | undefined): number {
  return find(now, name)?.serial ?? 0
}

/** The savepoints after one more statement. `serial` is higher than that of anything made before it. */
export function savepointsAfter(
  now: Savepoints | undefined,
  { transaction, savepoint: name }: StatementEffects,
  serial: number,
): Savepoints | undefined {
  switch (transaction) {
    case 'savepoint': {
      const depth = (now?.depth ?? 0) + 1
      return name === undefined || depth > DEPTH_MAX ? now : { name, serial, outer: now, depth }
    }
    case 'release':
      return find(now, name)?.outer
    case 'rollback-to':
      return find(now, name)
    case 'commit':
    case 'rollback':
      return undefined
    default:
      return now
  }
}

function find(now: Savepoints | undefined, name: string | undefined): Savepoints | undefined {
  let at = now
  while (at !== undefined && at.name !== name) at = at.outer
  return at
}
