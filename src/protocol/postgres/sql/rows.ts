// Owns the proof of how many rows a function or a LIMIT can give at most. Where nothing proves it: Infinity.

import type { Analysis } from './analysis.js'
import type { Call } from './call.js'
import { evaluate } from './expression.js'
import type { Scope } from './scope.js'
import type { Value } from './value.js'

/** Most rows of a function in FROM or in a select list. */
export function generatedRows(call: Call): number {
  if (call.routines.length > 0 && call.routines.every((each) => !each.returnsSet)) return 1
  if (call.routines.length === 0) return 1
  if (!call.routines.every((each) => each.schema === 'pg_catalog')) return Number.POSITIVE_INFINITY
  if (call.name === 'unnest') return unnested(call.arguments)
  if (call.name === 'generate_series') return series(call.arguments)
  return Number.POSITIVE_INFINITY
}

function unnested(values: readonly Value[]): number {
  const sizes = values.map((each) => {
    if (each.kind !== 'constant') return Number.POSITIVE_INFINITY
    return each.elements?.length ?? (each.literal === null ? 0 : Number.POSITIVE_INFINITY)
  })
  return Math.max(0, ...sizes)
}

function series(values: readonly Value[]): number {
  const numbers = values.map((each) =>
    each.kind === 'constant' &&
    typeof each.literal === 'string' &&
    /^-?\d{1,15}$/.test(each.literal)
      ? Number(each.literal)
      : Number.NaN,
  )
  const [from, to, step = 1] = numbers
  if (from === undefined || to === undefined || step === 0) return Number.POSITIVE_INFINITY
  const count = Math.floor((to - from) / step) + 1
  return Number.isNaN(count) ? Number.POSITIVE_INFINITY : Math.max(0, count)
}

export interface Limit {
  /** There is a LIMIT that is not NULL (or a parameter that is not bound yet). */
  readonly present: boolean
  readonly rows: number
}

/** Reads LIMIT or FETCH FIRST. WITH TIES proves nothing. */
export function readLimit(
  value: unknown,
  option: unknown,
  scope: Scope,
  analysis: Analysis,
): Limit {
  if (value === undefined) return { present: false, rows: Number.POSITIVE_INFINITY }
  const limit = evaluate(value, scope, analysis)
  analysis.use(limit, 'predicate')
  if (limit.kind !== 'constant') return { present: false, rows: Number.POSITIVE_INFINITY }
  if (limit.pending === true) return { present: true, rows: Number.POSITIVE_INFINITY }
  // Text that is not a plain number (1e3, 0x10) proves nothing; the server reads it as it likes.
  if (typeof limit.literal !== 'string' || !/^\s*\d{1,15}\s*$/.test(limit.literal)) {
    return { present: false, rows: Number.POSITIVE_INFINITY }
  }
  const rows =
    option === 'LIMIT_OPTION_WITH_TIES' ? Number.POSITIVE_INFINITY : Number(limit.literal)
  return { present: true, rows }
}
