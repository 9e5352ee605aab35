// Owns CALL: a procedure is judged as a function is, and a role must name it. What its body does is the schema owner's.

import type { Routine } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { evaluateAll } from './expression.js'
import { judgeRoutine, twoParts } from './names.js'
import { Scope } from './scope.js'
import { type Fields, list, NotUnderstood, names, open } from './tree.js'
import { type Column, derived } from './value.js'

/** Its arguments as they are given, and nothing that belongs to aggregates and windows. */
const PLAIN = ['funcname', 'args', 'func_variadic', 'funcformat', 'location']

/** A CALL; its columns are the arguments that come back, in one row. */
export function callProcedure(fields: Fields, analysis: Analysis): readonly Column[] {
  const call = open(fields['funccall'], 'FuncCall')
  const odd = Object.keys(call).find((key) => !PLAIN.includes(key))
  if (odd !== undefined) throw new NotUnderstood(`not supported yet: CALL with ${odd}`)
  const parts = names(call['funcname'])
  const args = list(call['args'])
  const found = proceduresOf(parts, args.length, analysis)
  const outputs = new Map(
    found.map(({ outputs }) => [JSON.stringify(outputs ?? []), outputs ?? []]),
  )
  const [columns, another] = outputs.values()
  if (columns === undefined || another !== undefined) {
    const shown = `"${parts.join('.')}" with ${args.length} arguments`
    throw new NotUnderstood(
      columns === undefined
        ? `unknown procedure ${shown}`
        : `not supported yet: CALL of ${shown}, of which there are several with other results`,
    )
  }
  for (const each of args) demandNoQuery(each)
  const given = evaluateAll(args, new Scope(), analysis)
  // It may write it anywhere, or raise it.
  analysis.use(given, 'derived')
  return columns.map((name) => ({ name, value: derived(given) }))
}

/** Every procedure that may be meant; the ones that policy has to name are noted. */
function proceduresOf(
  parts: readonly string[],
  count: number,
  analysis: Analysis,
): readonly Routine[] {
  const { schema, name } = twoParts(parts, 'procedure')
  const found = analysis.catalogue
    .routines(schema, name, analysis.path)
    .filter(({ kind, minimumArguments, maximumArguments, outputs }) => {
      // OUT arguments are given as well (from PostgreSQL 14 on); which of these are OUT and which INOUT is not known.
      const most = maximumArguments + (outputs?.length ?? 0)
      return kind === 'p' && count >= minimumArguments && count <= most
    })
  for (const routine of found) judgeRoutine(routine, analysis)
  return found
}

/** PostgreSQL refuses them there too. */
function demandNoQuery(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'SubLink') throw new NotUnderstood('cannot use subquery in CALL argument')
    demandNoQuery(inner)
  }
}
