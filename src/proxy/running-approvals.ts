// Owns what became of approvals that were used up: each ends as done, failed or unknown, and is told once. It must
// never call done what the database has not confirmed.

import type { Delivery } from '../core/adapter.js'
import type { ApprovalOutcome } from '../core/approval.js'
import type { Authority } from '../core/authority.js'

interface RunningDeps {
  readonly session: string
  readonly authority: Authority
  readonly report: (event: string, error: unknown) => void
}

interface Run {
  readonly request: string
  readonly done: Set<number>
}

/** Runs under an approval, by connection and request. */
export class Running {
  readonly #deps: RunningDeps
  readonly #runs = new Map<string, Run & { operations: number }>()

  constructor(deps: RunningDeps) {
    this.#deps = deps
  }

  /** It was used up for this request of `operations` statements. */
  started(key: string, request: string, operations = 1): void {
    this.#runs.set(key, { request, operations, done: new Set() })
  }

  /** It was not forwarded. */
  notRun(key: string, why: string): void {
    this.#tell(key, 'failed', `not run: ${why}`)
  }

  /** One of its statements is over. */
  ended(key: string, delivery: Delivery): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    const { error } = delivery
    if (delivery.abandoned === true) return this.#tell(key, 'unknown', error?.message)
    if (error !== undefined) return this.#tell(key, 'failed', error.sqlstate)
    run.done.add(delivery.index)
    if (run.done.size >= run.operations) this.#tell(key, 'done', delivery.tag)
  }

  /** The connection is over. */
  gone(connection: string): void {
    for (const key of [...this.#runs.keys()])
      if (key.startsWith(`${connection}/`)) this.#tell(key, 'unknown', 'the connection was lost')
  }

  #tell(key: string, outcome: ApprovalOutcome, message: string | undefined): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    this.#runs.delete(key)
    const { session, authority, report } = this.#deps
    authority
      .recordOutcome({
        session,
        request: run.request,
        outcome,
        ...(message === undefined ? {} : { message }),
      })
      .catch((error: unknown) => report('approval.outcome_failed', error))
  }
}
