// Owns the client's messages after its login, in order: what is held back, what passes, what is refused in
// form. Must never forward what has not been ruled on.

import type { AdapterContext, AdapterHost } from '../../core/adapter.js'
import { copyData } from './copy-data.js'
import { Executions } from './executing.js'
import { ExtendedQueries } from './extended.js'
import { Guards } from './guards.js'
import type { Judging } from './judging.js'
import { Permits } from './permits.js'
import type { Pipeline } from './pipeline.js'
import { SimpleQueries } from './simple.js'
import { violation } from './wire.js'

/** Takes the client's messages one by one. */
export class Requests {
  readonly #host: AdapterHost
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards
  readonly #simple: SimpleQueries
  readonly #extended: ExtendedQueries
  readonly #executions: Executions

  constructor(host: AdapterHost, context: AdapterContext, pipeline: Pipeline, judging: Judging) {
    this.#host = host
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = new Guards(pipeline, context, (then) => judging.reload(then))
    const guards = this.#guards
    judging.own.ask = guards.ask
    const permits = new Permits(context, pipeline, judging, guards)
    this.#simple = new SimpleQueries(pipeline, judging, guards, permits)
    this.#extended = new ExtendedQueries(
      pipeline,
      judging,
      guards,
      permits,
      this.#simple,
      `vgate_${context.randomBytes(12).toString('hex')}`,
    )
    this.#executions = new Executions(pipeline, judging, guards, permits)
  }

  /** Handles the next message of the queue. False: not yet; ask again when something was answered. */
  take(type: string, bytes: Buffer): boolean {
    const pipeline = this.#pipeline
    if (this.#judging.waiting || this.#guards.waiting || pipeline.recovered) return false
    // What is behind a guard that fails is taken again: nothing of the next segment may have overtaken it.
    if (pipeline.guarding !== undefined && pipeline.guarding < pipeline.segment) return false
    if (pipeline.copying === 'in') {
      if (type === 'X') return this.#terminate(bytes)
      copyData(pipeline, type, bytes)
      return true
    }
    if (pipeline.copying === 'wait' || pipeline.barrier || pipeline.limited !== undefined)
      return false
    if (type === 'X') return this.#terminate(bytes)
    if (pipeline.crowded) {
      pipeline.flushUpstream()
      return false
    }
    if (type === 'S') {
      pipeline.sync(bytes)
      return true
    }
    // What the database will not look at is not judged either. Copy data outside a copy is ignored, as it does.
    if (pipeline.skipping || 'dcf'.includes(type)) return true
    // What was sent may change where names are looked up.
    if (pipeline.path.unsettled && 'PBQ'.includes(type)) {
      pipeline.flushUpstream()
      return false
    }
    // A guard that fails takes back what was taken since: nothing of that may be with the host by then.
    if (pipeline.guarding !== undefined && 'PBQF'.includes(type)) {
      pipeline.flushUpstream()
      return false
    }
    return this.#dispatch(type, bytes)
  }

  #dispatch(type: string, bytes: Buffer): boolean {
    switch (type) {
      case 'Q':
        return this.#simple.query(bytes)
      case 'F':
        return this.#simple.functionCall()
      case 'P':
        return this.#extended.parse(bytes)
      case 'B':
        return this.#extended.bind(bytes)
      case 'D':
        return this.#extended.describe(bytes)
      case 'E':
        return this.#executions.execute(bytes)
      case 'C':
        return this.#extended.close(bytes)
      case 'H':
        this.#pipeline.flushUpstream()
        return true
      default:
        throw violation(`message type ${JSON.stringify(type)} may not come here`)
    }
  }

  #terminate(bytes: Buffer): true {
    this.#pipeline.sendPlain(bytes)
    this.#pipeline.flushToUpstream()
    this.#host.close()
    return true
  }
}
