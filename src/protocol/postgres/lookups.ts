// Owns what a name of the client means at its place in the pipeline. Must never answer while something that is
// still under way could change the answer.

import type { NameTable } from './names.js'
import type { Portal, Prepared } from './objects.js'
import type { Pipeline } from './pipeline.js'
import type { Savepoints } from './savepoints.js'

/** A name's meaning, or `later` where an earlier segment has yet to settle it. */
function find<T>(pipeline: Pipeline, table: NameTable<T>, name: string): T | undefined | 'later' {
  const { value, assumedIn } = table.lookup(name)
  return assumedIn !== undefined && unsettled(pipeline, assumedIn) ? 'later' : value
}

function unsettled(pipeline: Pipeline, segment: number): boolean {
  return segment < pipeline.segment && segment > pipeline.finished
}

/** The prepared statement of that name. */
export function findStatement(pipeline: Pipeline, name: string): Prepared | undefined | 'later' {
  return find(pipeline, pipeline.statements, name)
}

/** The portal of that name. The end of the segment that made it may end the transaction and with it the portal. */
export function findPortal(pipeline: Pipeline, name: string): Portal | undefined | 'later' {
  const found = find(pipeline, pipeline.portals, name)
  if (found === undefined || found === 'later') return found
  return unsettled(pipeline, found.segment) ? 'later' : found
}

/** The savepoints of the transaction. */
export function findSavepoints(pipeline: Pipeline): Savepoints | undefined | 'later' {
  return find(pipeline, pipeline.savepoints, '')
}
