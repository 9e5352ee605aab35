// Owns Execute: a portal's run from its permit to its last row. Must never run a portal that is over without a new
// judgement.

import { readExecute } from './frontend.js'
import { findPortal } from './lookups.js'
import { missing } from './name-replies.js'
import type { NameChanges, Pipeline, Portal } from './pipeline.js'
import type { Run } from './run.js'
import type { SimpleQueries } from './simple.js'
import { cstr, i32, message } from './wire.js'

const MAX_ROWS = 0x7fffffff

/** Takes Execute. */
export class Executions {
  readonly #pipeline: Pipeline
  readonly #simple: SimpleQueries

  constructor(pipeline: Pipeline, simple: SimpleQueries) {
    this.#pipeline = pipeline
    this.#simple = simple
  }

  execute(bytes: Buffer): boolean {
    const { portal: name, max } = readExecute(bytes)
    const portal = findPortal(this.#pipeline, name)
    if (portal === 'later' || this.#pipeline.ddlUnsettled) return false
    if (portal === undefined) this.#pipeline.refuse('E', missing('P', name))
    else if (!portal.completed) this.#forwardExecute(bytes, portal, max)
    else this.#executeAgain(bytes, portal, max)
    return true
  }

  /** A portal whose run is over: what it may still do is judged as a new request. */
  #executeAgain(bytes: Buffer, portal: Portal, max: number): void {
    const { statement } = portal.prepared
    if (statement === undefined) {
      this.#forwardExecute(bytes, portal, max)
      return
    }
    const { parameters, exact, whole } = portal
    const request = { form: 'extended', parameters, text: statement.text, exact, whole }
    this.#simple.judgeRuns([statement], portal.values, request, (result) => {
      if ('reply' in result) return this.#pipeline.refuse('E', result.reply)
      portal.run = result.runs[0]
      portal.completed = false
      portal.describing = false
      this.#simple.opened(portal.run)
      this.#forwardExecute(bytes, portal, max)
    })
  }

  #forwardExecute(bytes: Buffer, portal: Portal, max: number): void {
    const pipeline = this.#pipeline
    if (pipeline.skipping) return
    const { run } = portal
    const effects = portal.prepared.statement?.effects
    if (run !== undefined && !portal.describing) {
      portal.describing = true
      const describe = message('D', 'P', cstr(portal.name))
      pipeline.send(describe, { kind: 'describe', portal, swallow: true, parameters: false })
    }
    if (effects?.ddl === true) pipeline.ddlSince ??= pipeline.segment
    const sent = this.#limitedMax(run, max)
    const limited = sent !== undefined
    const changes = this.#changes(portal)
    pipeline.send(limited ? message('E', cstr(portal.name), i32(sent)) : bytes, {
      kind: 'execute',
      portal,
      run,
      changes,
      limited,
      copy: effects?.copy,
    })
    if (effects?.copy === 'in') pipeline.copying = 'wait'
    if (limited) pipeline.limited = { rewritten: false }
    if (limited || effects?.copy === 'in') pipeline.flushUpstream()
  }

  /** One row more than may leave proves that the limit is passed; undefined where no limit is in reach. */
  #limitedMax(run: Run | undefined, max: number): number | undefined {
    if (run?.limit === undefined) return undefined
    const most = run.limit.rows - run.rowCount + 1
    if (most > MAX_ROWS) return undefined
    return max === 0 ? most : Math.min(max, most)
  }

  #changes(portal: Portal): NameChanges {
    const effects = portal.prepared.statement?.effects
    const gone = effects?.deallocates
    const names =
      gone === '*' ? this.#pipeline.statements.names() : gone === undefined ? [] : [gone]
    const portals =
      effects?.cursors === true
        ? this.#pipeline.portals.names().filter((name) => name !== portal.name)
        : []
    return {
      statements: names.map((name) => ({ name, value: undefined })),
      portals: portals.map((name) => ({ name, value: undefined })),
    }
  }
}
