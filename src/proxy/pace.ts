// Owns what counts over time in front of one data plane: writes within a window, requests within a span. It decides
// nothing and counts only what goes on; all of it is in memory and one moment, so that no two requests pass together.

import type { JudgeRequest } from '../core/adapter.js'
import { isOperation, type Operation } from '../core/operation.js'
import type { CompiledPolicy } from '../policy/compile.js'
import type { Thresholds } from '../policy/defaults.js'
import { strictestThresholds } from '../policy/obligations.js'
import { type RecentUses, readsData } from '../policy/risks.js'
import { type RatedRole, Rates } from './rates.js'
import { type Denial, denial } from './refusals.js'
import type { Standing } from './standing.js'
import { WriteWindows } from './write-windows.js'

/** A request's writes beside those before it. */
export interface LookBack {
  /** Of one operation, where windows make it bulk. */
  recent(operation: Operation): RecentUses | undefined
  /** The request goes on. */
  count(): void
}

/** What the roles of one grant come to under one policy. */
interface Held {
  readonly policy: CompiledPolicy
  readonly limits: Thresholds
  readonly rated: readonly RatedRole[]
}

/** What all sessions of a data plane share. */
export class Pace {
  readonly #windows: WriteWindows
  readonly #rates: Rates
  readonly #held = new WeakMap<readonly string[], Held>()

  /** `now` is in milliseconds and never goes back. */
  constructor(now: () => number) {
    this.#windows = new WriteWindows(now)
    this.#rates = new Rates(now)
  }

  /** What the request's writes come to. Undefined where no rule asks, or it writes nothing that is counted. */
  lookBack(standing: Standing, request: JudgeRequest): LookBack | undefined {
    const { principal, target } = standing
    const { windows } = standing.policy
    if (windows === undefined || request.phase !== 'execute') return undefined
    const { limits } = this.#heldBy(standing)
    const whose = { principal: principal.id, target: target.name, perMs: limits.perMs, windows }
    const look = this.#windows.look(whose, request)
    if (look === undefined) return undefined
    return {
      recent: ({ collections }) => {
        const bulk = collections.some((use) => {
          const found = look.recent.get(use)
          return found !== undefined && (found.keys > limits.ids || found.rows > limits.rows)
        })
        return bulk ? look.recent : undefined
      },
      count: () => look.count(),
    }
  }

  /** Counts a permitted request against the rates of its roles; the denial where it is one too many. */
  take(standing: Standing, request: JudgeRequest): Denial | undefined {
    if (request.phase !== 'execute') return undefined
    const { rated } = this.#heldBy(standing)
    if (rated.length === 0) return undefined
    const count = request.operations.filter((one) => isOperation(one) && isCounted(one)).length
    if (count === 0) return undefined
    const whose = { principal: standing.principal.id, target: standing.target.name }
    const exceeded = this.#rates.take(whose, rated, count)
    return exceeded === undefined ? undefined : denial(exceeded.error, exceeded.rule)
  }

  #heldBy({ policy, grant }: Standing): Held {
    const known = this.#held.get(grant.roles)
    if (known?.policy === policy) return known
    const roles = grant.roles.flatMap((name) => policy.roles.get(name) ?? [])
    const rated = roles.flatMap(({ name, rate }) => (rate === undefined ? [] : [{ name, rate }]))
    const held: Held = { policy, limits: strictestThresholds(roles), rated }
    this.#held.set(grant.roles, held)
    return held
  }
}

/** The catalogue and what reads nothing (BEGIN, SET, SELECT 1) are outside of every limit. */
function isCounted(operation: Operation): boolean {
  const { access } = operation
  return access === 'write' || access === 'admin' || readsData(operation)
}
