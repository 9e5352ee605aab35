// Owns what the requests of one session hold of their budgets: from the permit to the end of each operation, however it
// ends. What an unfinished read took is what was given of it.

import type { Delivery, JudgeRequest } from '../core/adapter.js'
import type { FieldMask, Obligations } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import { isOperation, type Operation } from '../core/operation.js'
import { type Claim, claimsOf } from '../policy/budgets.js'
import type { CompiledPolicy, CompiledRole } from '../policy/compile.js'
import {
  type Ask,
  BudgetExceeded,
  type Budgets,
  type Grant,
  limitedBy,
  type Owner,
  type Sized,
} from './budgets.js'
import type { Standing } from './standing.js'

/** A session whose end does not wait longer for its budgets. They stay held where it takes longer. */
const LEAVE_MS = 2_000

type Sizes = ReadonlyMap<string, number | 'made of others'>
const NO_SIZES: Sizes = new Map()
type SizesQuestion = NonNullable<JudgeRequest['sizes']>

export interface SessionBudgetsDeps {
  readonly session: string
  readonly owner: Owner
  readonly budgets: Budgets
  /** As in memory; undefined: `load` it. */
  readonly known: (question: SizesQuestion) => { readonly value: unknown } | undefined
  readonly load: (question: SizesQuestion) => Promise<unknown>
}

/** What `pep.ts` needs for one connection. */
export interface BudgetPort {
  /**
   * Holds what the request may take; the obligations with what budgets add. Undefined where none is concerned. Throws or
   * rejects with a BudgetExceeded.
   */
  reserve(
    id: number,
    standing: Standing,
    request: JudgeRequest,
    obligations: readonly Obligations[],
  ): undefined | readonly Obligations[] | Promise<readonly Obligations[]>
  /** The request was not forwarded. */
  notRun(id: number): void
}

/** One request. */
interface Of {
  readonly connection: string
  readonly id: number
}

interface Running {
  readonly grants: readonly Grant[]
  /** Rows given, by operation. */
  readonly rows: number[]
  left: number
}

/** The budgets of one session. */
export class SessionBudgets {
  readonly #deps: SessionBudgetsDeps
  readonly #running = new Map<string, Running>()
  readonly #known = new WeakMap<
    Operation,
    { policy: CompiledPolicy; masks: readonly FieldMask[]; claims: readonly Claim[] }
  >()
  /** Requests that wait for more of a budget. */
  readonly #waiting = new Set<{ readonly connection: string; gone: boolean }>()

  constructor(deps: SessionBudgetsDeps) {
    this.#deps = deps
    deps.budgets.join(deps.owner, deps.session)
  }

  port(connection: string): BudgetPort {
    return {
      reserve: (id, standing, request, obligations) =>
        this.#reserve({ connection, id }, standing, request, obligations),
      notRun: (id) => {
        const key = `${connection}/${id}`
        for (const grant of this.#running.get(key)?.grants ?? []) grant.release()
        this.#running.delete(key)
      },
    }
  }

  delivered(connection: string, { request, index, rowCount, done }: Delivery): void {
    if (this.#running.size === 0) return
    const key = `${connection}/${request}`
    const running = this.#running.get(key)
    if (running === undefined) return
    running.rows[index] = (running.rows[index] ?? 0) + rowCount
    if (!done) return
    running.grants[index]?.settle(running.rows[index])
    running.left -= 1
    if (running.left <= 0) this.#running.delete(key)
  }

  /** The connection is over: nothing more of its requests is given. */
  gone(connection: string): void {
    for (const one of this.#waiting) if (one.connection === connection) one.gone = true
    for (const [key, { grants, rows }] of this.#running) {
      if (!key.startsWith(`${connection}/`)) continue
      for (const [index, grant] of grants.entries()) grant.settle(rows[index] ?? 0)
      this.#running.delete(key)
    }
  }

  /** The session is over: everything is settled, as far as that can be said in time. */
  async end(): Promise<void> {
    for (const key of [...this.#running.keys()]) this.gone(key.slice(0, key.lastIndexOf('/')))
    const { budgets, owner, session } = this.#deps
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LEAVE_MS)
    })
    await Promise.race([budgets.leave(owner, session), late])
    clearTimeout(timer)
  }

  #reserve(
    of: Of,
    standing: Standing,
    request: JudgeRequest,
    obligations: readonly Obligations[],
  ): undefined | readonly Obligations[] | Promise<readonly Obligations[]> {
    const roles = budgetedRoles(standing)
    if (roles.length === 0) return undefined
    const claims = request.operations.map((operation, index) =>
      isOperation(operation) ? this.#claimsOf(standing, roles, operation, obligations[index]) : [],
    )
    if (claims.every((each) => each.length === 0)) return undefined
    const ask = (sizes: Sizes): readonly Grant[] | Promise<readonly Grant[]> =>
      this.#deps.budgets.reserve(this.#deps.owner, asksOf(request, claims, obligations, sizes))
    const run = (grants: readonly Grant[]): readonly Obligations[] => {
      this.#running.set(`${of.connection}/${of.id}`, { grants, rows: [], left: grants.length })
      return obligations.map((one, index) => limitedBy(one, grants[index]?.limit))
    }
    const shares = claims.some((each) => each.some(({ share }) => share !== undefined))
    const sizes = shares ? this.#sizes(request) : NO_SIZES
    const grants = sizes instanceof Promise ? sizes.then(ask) : ask(sizes)
    return grants instanceof Promise ? this.#waited(of.connection, grants, run) : run(grants)
  }

  /** Claims of the same operation under the same policy and masks are the same. */
  #claimsOf(
    { policy }: Standing,
    roles: readonly CompiledRole[],
    operation: Operation,
    obligations: Obligations | undefined,
  ): readonly Claim[] {
    const masks = obligations?.masks ?? []
    const known = this.#known.get(operation)
    if (known !== undefined && known.policy === policy && known.masks === masks) return known.claims
    const claims = demandClaims(roles, operation, masks)
    this.#known.set(operation, { policy, masks, claims })
    return claims
  }

  #sizes({ sizes }: JudgeRequest): Sizes | Promise<Sizes> {
    if (sizes === undefined) throw new Error('a share of what nobody counts')
    const known = this.#deps.known(sizes)
    if (known !== undefined) return known.value as Sizes
    return this.#deps.load(sizes).then((loaded) => loaded as Sizes)
  }

  /** Nothing is held for a client that went away meanwhile. */
  async #waited<T>(
    connection: string,
    coming: Promise<readonly Grant[]>,
    run: (grants: readonly Grant[]) => T,
  ): Promise<T> {
    const waiting = { connection, gone: false }
    this.#waiting.add(waiting)
    try {
      const grants = await coming
      if (!waiting.gone) return run(grants)
      for (const grant of grants) grant.release()
      throw new VgateError('VGATE_CANCELLED', 'the client went away')
    } finally {
      this.#waiting.delete(waiting)
    }
  }
}

function asksOf(
  request: JudgeRequest,
  claims: readonly (readonly Claim[])[],
  obligations: readonly Obligations[],
  sizes: Sizes,
): readonly Ask[] {
  return request.operations.map((operation, index): Ask => {
    const { rows: returned, earlier = 0 } = isOperation(operation)
      ? operation.returns
      : { rows: 0, earlier: 0 }
    const limit = obligations[index]?.rowLimit?.rows
    const proved = returned === 'unbounded' ? Number.POSITIVE_INFINITY : returned - earlier
    const flexible = returned === 'unbounded' || limit !== undefined
    // Among other statements nothing can be made to end earlier: what nobody bounds is refused behind the permit.
    const most = flexible && request.operations.length > 1 ? 1 : Number.POSITIVE_INFINITY
    return {
      claims: (claims[index] ?? []).flatMap((claim) => sized(claim, sizes)),
      rows: Math.min(proved, limit ?? Number.POSITIVE_INFINITY, most),
      flexible,
      open: returned === 'unbounded' && limit === undefined,
    }
  })
}

function budgetedRoles({ policy, grant }: Standing): readonly CompiledRole[] {
  const found: CompiledRole[] = []
  for (const name of grant.roles) {
    const role = policy.roles.get(name)
    if (role !== undefined && role.budgets.length > 0) found.push(role)
  }
  return found
}

function demandClaims(
  roles: readonly CompiledRole[],
  operation: Operation,
  masks: readonly FieldMask[],
): readonly Claim[] {
  const claims = claimsOf(roles, operation, masks)
  if (!('reason' in claims)) return claims
  throw new BudgetExceeded(claims.rule, claims.reason, claims.hint)
}

/** A share in rows. A view has no rows of its own: what it is made of is claimed beside it. */
function sized(claim: Claim, sizes: Sizes): Sized[] {
  const { limit, share } = claim
  if (limit !== undefined) return [{ ...claim, limit }]
  const rows = share === undefined ? undefined : sizes.get(share.collection)
  if (rows === 'made of others') return []
  if (share === undefined || rows === undefined || rows === 0) {
    throw new BudgetExceeded(
      claim.rule,
      `${claim.rule} allows a part of the rows of ${share?.collection ?? 'a collection'}, and the database does not know how many there are`,
      'let the database’s administrator run ANALYZE on it',
    )
  }
  return [{ ...claim, limit: Math.floor(rows * share.of) }]
}
