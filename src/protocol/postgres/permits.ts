// Owns the way from statements at their places to permitted runs, for both protocols: classification, the proof that
// definitions are what they were judged by, the host's judgement. Must never make a run of what was not permitted.

import { createHash } from 'node:crypto'
import type { AdapterContext, JudgeRequest, PreviewQuery } from '../../core/adapter.js'
import type { Obligations } from '../../core/decision.js'
import { isOperation } from '../../core/operation.js'
import { asOneRequest } from '../../core/request-totals.js'
import { namesKey, usesOf } from './guard-text.js'
import { type Guards, type Secured, UNSETTLED } from './guards.js'
import type { Judging } from './judging.js'
import type { Portal, Prepared } from './objects.js'
import type { Pipeline } from './pipeline.js'
import { Run } from './run.js'
import { SIZES } from './sizes.js'
import type { CatalogueUses, Classification, Parameter } from './statement.js'
import type { Step } from './step.js'
import { toldWhole, type Whole } from './told.js'
import { behindPath, unenforceable, unguardable } from './unenforceable.js'
import type { ErrorReply } from './wire.js'

/** A parameter as Bind brought it. */
export interface BoundParameter {
  readonly type: number
  readonly format: number
  readonly value: Buffer | null
}

/** A permit, and what it hangs on; or what refuses. */
export type Judged =
  | { readonly runs: readonly Run[]; readonly uses: CatalogueUses | undefined }
  | { readonly reply: ErrorReply }

type Request = Pick<JudgeRequest, 'form' | 'text' | 'parameters' | 'exact' | 'whole'>

/** A question on its way to the host. */
interface Asked {
  readonly steps: readonly Step[]
  readonly parameters: readonly Parameter[] | undefined
  readonly request: Request
  readonly found: readonly Classification[]
  uses: CatalogueUses | undefined
}

/** How often a statement is judged anew because its definitions change meanwhile. */
const TRIES = 5

/** The server would run what was prepared with what its names meant then. */
const PREPARED_OTHERWISE: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '0A000',
  message: 'names in this prepared statement stand for something else than when it was prepared',
  hint: 'DEALLOCATE it, and PREPARE it again',
}

/** The whole text of a request, with what stands behind its names. */
export function wholeOf(steps: readonly Step[], said: Whole): Whole {
  const behind = steps.flatMap((step) => (step.behind === undefined ? [] : [step.behind()]))
  return toldWhole(behind, said)
}

/** Keys of all statements of one request. */
function mergedKeys(found: readonly Classification[]): Pick<JudgeRequest, 'keys' | 'keyedBy'> {
  const keys: Record<string, string[]> = {}
  const keyedBy: Record<string, string> = {}
  for (const one of found) {
    for (const [collection, values] of Object.entries(one.keys ?? {})) {
      const column = one.keyedBy?.[collection] ?? ''
      // Values of two columns are not the same keys.
      const first = !Object.hasOwn(keys, collection)
      keyedBy[collection] = first || keyedBy[collection] === column ? column : ''
      keys[collection] = [...(keys[collection] ?? []), ...values]
    }
  }
  return Object.keys(keys).length === 0 ? {} : { keys, keyedBy }
}

/** Judges what is about to run. */
export class Permits {
  readonly #context: AdapterContext
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  readonly #guards: Guards

  constructor(context: AdapterContext, pipeline: Pipeline, judging: Judging, guards: Guards) {
    this.#context = context
    this.#pipeline = pipeline
    this.#judging = judging
    this.#guards = guards
  }

  /**
   * What tells this request from any other: its text, its parameters as they came, the search path, and what the names
   * in it stand for (`extra`).
   */
  exact(
    text: string,
    parameters: readonly BoundParameter[],
    extra: readonly string[] = [],
  ): string {
    const hash = createHash('sha256')
    const add = (part: string | Buffer): void => {
      hash.update(`${Buffer.byteLength(part)}:`).update(part)
    }
    add(text)
    for (const name of this.#judging.path) add(name)
    for (const { name } of this.#judging.catalogue.temporary ?? []) add(`temporary ${name}`)
    for (const { type, format, value } of parameters) {
      add(`${type}/${format}/${value === null ? 'null' : 'value'}`)
      add(value ?? '')
    }
    for (const each of extra) add(each)
    return hash.digest('hex')
  }

  /** Classifies, judges and turns a permit into runs; anything else into the reply that refuses. */
  judgeRuns(
    steps: readonly Step[],
    parameters: readonly Parameter[] | undefined,
    request: Request,
    then: (result: Judged) => void,
    tries = TRIES,
  ): void {
    const statements = steps.map(({ statement }) => statement)
    // What can have no guard in front of it is judged with a catalogue of this moment; beside others it can have one.
    if (this.#isAlone(steps)) this.#pipeline.catalogueStale = true
    this.#judging.classify(statements, parameters, (found) => {
      const uses = this.#isAlone(steps) ? undefined : this.#uses(found, steps)
      const trouble =
        unguardable(statements, found) ?? behindPath(statements, found, this.#pipeline.path.touched)
      if (trouble !== undefined) return then({ reply: trouble })
      this.#guards.secure(uses, (secured) => {
        if (secured === 'same')
          return this.#judge({ steps, parameters, request, found, uses }, then)
        if (secured !== 'changed') return then(secured)
        if (tries === 0) return then({ reply: UNSETTLED })
        this.#judging.reload(() => this.judgeRuns(steps, parameters, request, then, tries - 1))
      })
    })
  }

  /** What these hang on together. */
  usesOf(steps: readonly Step[], runs: readonly Run[]): CatalogueUses | undefined {
    if (this.#isAlone(steps)) return undefined
    const found = runs.map((run) => run.found)
    return this.#uses(found, steps)
  }

  #uses(found: readonly Classification[], steps: readonly Step[]): CatalogueUses | undefined {
    // What can be neither seen nor proved passes only where it hangs on nothing (`whereItRuns`).
    if (this.#judging.own.unseen) return undefined
    return usesOf([...found, ...this.#prepared(steps)])
  }

  /** A guard makes a transaction, and in one PostgreSQL may refuse it, or take what it refuses outside of one. */
  #isAlone([step, ...others]: readonly Step[]): boolean {
    if (step === undefined || others.length > 0 || this.#pipeline.inTransaction) return false
    // Something of ours has run in this unit, which makes one as well.
    if (this.#pipeline.ledIn === this.#pipeline.segment) return false
    const { alone, inside, calls } = step.statement.effects
    return alone === true || inside === true || calls === true
  }

  /** What PREPARE makes hangs on its own names. */
  #prepared(steps: readonly Step[]): readonly Pick<Classification, 'uses'>[] {
    return madeBy(steps).map((made) => this.#unbound(made))
  }

  /** A prepared statement as it is before any value is bound. */
  #unbound({ statement }: Prepared): Pick<Classification, 'uses'> {
    return (statement && this.#judging.classifyNow([statement], undefined)[0]) ?? {}
  }

  #judge(asked: Asked, then: (result: Judged) => void): void {
    const { steps, parameters, found, request } = asked
    if (this.#isPreparedOtherwise(steps)) return then({ reply: PREPARED_OTHERWISE })
    const statements = steps.map(({ statement }) => statement)
    this.#judging.judge(
      {
        phase: 'execute',
        operations: asOneRequest(found.map(({ operation }) => operation)),
        ...request,
        ...mergedKeys(found),
        inTransaction: this.#pipeline.inTransaction,
        preview: () => this.#previews(steps, parameters),
        sizes: SIZES,
        unchanged: () =>
          this.#judging.stillMeans(statements, parameters, found, (now, then) =>
            this.#proveAgain(asked, now, then),
          ),
      },
      (ruling, id) => {
        if (ruling.verdict === 'deny') {
          return then({ reply: this.#judging.replyTo(ruling.refusal, statements) })
        }
        then(this.#permitted(id, asked, ruling.obligations))
      },
    )
  }

  /** A plan keeps what names meant when it was made; what the protocol prepared is prepared again (`Guards.plan`). */
  #isPreparedOtherwise(steps: readonly Step[]): boolean {
    const made: readonly unknown[] = madeBy(steps)
    return steps.some(({ target }) => {
      if (target === undefined || 'prepared' in target || made.includes(target)) return false
      if (target.statement === undefined) return false
      return target.names !== namesKey(this.#unbound(target).uses)
    })
  }

  /** After a wait: what it uses may be defined otherwise by now, as long as that means the same. */
  #proveAgain(asked: Asked, now: readonly Classification[], then: (proved: boolean) => void): void {
    const settled = (secured: Secured): void => then(secured === 'same')
    if (asked.uses !== undefined) asked.uses = usesOf([...now, ...this.#prepared(asked.steps)])
    this.#guards.prove(asked.uses, settled)
  }

  #previews(
    steps: readonly Step[],
    parameters: readonly Parameter[] | undefined,
  ): readonly PreviewQuery[] {
    const { catalogue, path, own } = this.#judging
    // Counted on another connection, which shall not wait for what this one holds: PGlite has one transaction at a time.
    this.#pipeline.letGo()
    this.#pipeline.flushToUpstream()
    const all = steps.flatMap(
      ({ statement }) => statement.preview?.(catalogue, path, parameters) ?? [],
    )
    // That connection does not see it, and may have something else of that name.
    const unknown = 'its transaction has changed the schema'
    return own.needed ? all.map(({ collection }) => ({ collection, unknown })) : all
  }

  #permitted(
    id: number,
    { steps, found, uses, request }: Asked,
    obligations: readonly Obligations[],
  ): Judged {
    const runs = found.map((one, index) => {
      const { operation } = one
      const obligation = obligations[index]
      // A permit for what was not understood, or without its obligations, is no permit.
      if (!isOperation(operation) || obligation === undefined)
        throw new Error('a permit without obligations')
      return new Run(
        { request: id, index },
        operation,
        obligation,
        this.#context.masker,
        this.#judging.catalogue,
        one,
        steps[index]?.counted,
      )
    })
    for (const run of runs) this.#pipeline.permitted(run)
    const { enclosed } = this.#pipeline.proved
    const simple = request.form === 'simple'
    const reply = unenforceable(steps, obligations, { simple, runs, enclosed })
    if (reply === undefined) {
      for (const { opens, reading } of steps) {
        if (opens !== undefined) this.#settleCursor(opens)
        if (reading?.turned === true) reading.portal.turned = true
      }
      for (const made of madeBy(steps)) made.names = namesKey(this.#unbound(made).uses)
      return { runs, uses }
    }
    for (const run of runs) {
      this.#pipeline.over(run, { error: { sqlstate: reply.sqlstate, message: reply.message } })
    }
    return { reply }
  }

  /** What a cursor gives stays what it was permitted as, whatever its text means later. */
  #settleCursor(cursor: Portal): void {
    const { catalogue, path } = this.#judging
    const found = cursor.prepared.statement?.classify(catalogue, path, cursor.values)
    cursor.basis = found !== undefined && isOperation(found.operation) ? found : undefined
  }

  /** A permitted run is about to be sent, unless the database skips it after an error meanwhile. */
  opened(run: Run | undefined): void {
    if (run === undefined) return
    if (!this.#pipeline.skipping) {
      this.#pipeline.opened(run)
      if (run.found.movesPath === true) this.#pipeline.moving()
      return
    }
    this.#pipeline.over(run, {
      error: { sqlstate: '25P02', message: 'skipped after an earlier error' },
    })
  }
}

/** What PREPARE makes. */
function madeBy(steps: readonly Step[]): readonly Prepared[] {
  return steps.flatMap(({ statement, changes }) =>
    statement.named?.kind === 'prepare'
      ? (changes.statements ?? []).flatMap((one) =>
          'value' in one && one.value ? [one.value] : [],
        )
      : [],
  )
}
