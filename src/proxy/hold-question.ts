// Owns what a second person is asked about a request, and what their answer is bound to (product.md, "Approvals").
// Pure. It must never leave out of the digest what would make another request of it.

import { createHash } from 'node:crypto'
import type { JudgeRequest } from '../core/adapter.js'
import type { ApprovalTerms } from '../core/approval.js'
import type { Hold, Obligations, RowLimit } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import { canonicalJson } from '../core/json.js'
import type { Risk } from '../core/operation.js'
import type { Principal } from '../core/principal.js'

export interface HoldQuestion {
  /** SHA-256 in hex: principal, target, roles, operations, exact text, parameters, search path, and the holds' terms. */
  readonly digest: string
  readonly terms: readonly ApprovalTerms[]
  /** The first hold. */
  readonly rule: string
  readonly reason: string
  readonly risks: readonly Risk[]
}

interface Whose {
  readonly principal: Principal
  readonly grant: Grant
  readonly target: { readonly name: string }
}

/** The question of all holds that match, or why nobody can be asked. */
export function holdQuestion(
  whose: Whose,
  request: JudgeRequest,
  holds: readonly Hold[],
): HoldQuestion | { readonly refused: VgateError; readonly rule: string } {
  const [first] = holds
  if (first === undefined) throw new Error('a hold without a rule')
  const nobody = holds.find((hold) => hold.terms.length === 0)
  if (nobody !== undefined || request.exact === undefined) {
    const { reason, rule } = nobody ?? first
    const why =
      nobody === undefined
        ? 'it cannot be approved in this form'
        : 'the policy names nobody who could approve it'
    const hint =
      'narrow it (name the keys, add a LIMIT), or ask for a role that is excepted from the hold'
    return { refused: new VgateError('VGATE_DENIED', `${reason}: ${why}`, { hint }), rule }
  }
  const terms = distinct(holds.flatMap((hold) => hold.terms))
  return {
    digest: digestOf(whose, request, terms),
    terms,
    rule: first.rule,
    reason: [...new Set(holds.map((hold) => hold.reason))].join('; '),
    risks: [...new Set(holds.flatMap((hold) => hold.risks))],
  }
}

/** The question of a read that may reach a limit; undefined where nobody could lift it. */
export function limitQuestion(
  whose: Whose,
  request: JudgeRequest,
  ends: readonly RowLimit[],
): HoldQuestion | undefined {
  const [first] = ends
  const terms = distinct(ends.flatMap((limit) => limit.terms ?? []))
  if (first === undefined || terms.length === 0 || request.exact === undefined) return undefined
  return {
    digest: digestOf(whose, request, terms),
    terms,
    rule: first.rule,
    reason: `an unbounded read of more than ${first.rows} rows is held by ${first.rule}: bulk-export`,
    risks: ['bulk-export'],
  }
}

/** An approved export runs without the row limits that asking was instead of; a deny's stays. */
export function lifted(obligations: Obligations): Obligations {
  const { rowLimit: _, rowLimitApproved, ...rest } = obligations
  return rowLimitApproved === undefined ? rest : { ...rest, rowLimit: rowLimitApproved }
}

/** What is approved is a text; what it means is looked up again. Rejects when that has changed; the approval stays. */
export async function demandUnchanged(request: JudgeRequest): Promise<void> {
  if ((await request.unchanged?.()) !== false) return
  const why = 'the schema was changed while it waited: it would mean something else now'
  throw new VgateError('VGATE_DENIED', why, { hint: 'run it again: it is judged anew' })
}

function distinct(terms: readonly ApprovalTerms[]): ApprovalTerms[] {
  return [...new Map(terms.map((term) => [term.rule, term])).values()]
}

function digestOf(whose: Whose, request: JudgeRequest, terms: readonly ApprovalTerms[]): string {
  const { principal, grant, target } = whose
  const bound = {
    principal: principal.id,
    target: target.name,
    roles: grant.roles,
    collections: grant.collections,
    // The text stands in `exact`, unreduced.
    operations: request.operations.map((operation) => ({ ...operation, text: '' })),
    exact: request.exact?.(),
    terms,
  }
  // Through JSON first: an endless number of rows is no number of canonical JSON.
  const text = canonicalJson(JSON.parse(JSON.stringify(bound)))
  return createHash('sha256').update(text).digest('hex')
}
