// Owns what the run of a portal does to names, if it succeeds.

import type { NameChanges, Pipeline, Portal } from './pipeline.js'

/** Statements that it deallocates, and cursors that it may close: they share their names with portals. */
export function changesOf(portal: Portal, pipeline: Pipeline): NameChanges {
  const effects = portal.prepared.statement?.effects
  const gone = effects?.deallocates
  const names = gone === '*' ? pipeline.statements.names() : gone === undefined ? [] : [gone]
  const portals =
    effects?.cursors === true ? pipeline.portals.names().filter((name) => name !== portal.name) : []
  return {
    statements: names.map((name) => ({ name, value: undefined })),
    portals: portals.map((name) => ({ name, value: undefined })),
  }
}
