// Owns what a stored request says: who may answer, what it is bound to, what was narrowed. Pure.

import { createHash } from 'node:crypto'
import type { ApprovalTerms, HeldOperation } from '../core/approval.js'
import { VgateError } from '../core/errors.js'
import { canonicalJson } from '../core/json.js'
import type { Principal } from '../core/principal.js'
import type { AnswerRecord, RequestRecord } from '../store/schema.js'

/** What a request asks for, as it is stored. */
export type RequestBody =
  | { readonly kind: 'operation'; readonly operation: HeldOperation }
  | { readonly kind: 'access'; readonly ttlMs: number }

/** What one approver narrowed. */
export interface Narrowed {
  readonly ttlMs?: number
  readonly collections?: readonly string[]
}

/** True for people who may answer this request by its groups; the requester never is. */
export function mayAnswer(principal: Principal, record: RequestRecord): boolean {
  if (principal.kind !== 'person' || principal.id === record.principal) return false
  return termsOf(record).some((term) => isIn(principal.groups, term))
}

/** The terms as they were when it was opened. */
export function termsOf(record: RequestRecord): readonly ApprovalTerms[] {
  return JSON.parse(record.terms) as ApprovalTerms[]
}

export function bodyOf(record: RequestRecord): RequestBody {
  return JSON.parse(record.body) as RequestBody
}

export function narrowedOf(answer: AnswerRecord): Narrowed {
  return answer.narrowed === null ? {} : (JSON.parse(answer.narrowed) as Narrowed)
}

/** Groups whose people may answer, each once. */
export function approversOf(terms: readonly ApprovalTerms[]): string[] {
  return [...new Set(terms.flatMap((term) => term.by))]
}

/** The longest that an approval may give: access for as long as was asked, an operation for as long as its rules say. */
export function longestOf(record: RequestRecord): number {
  const body = bodyOf(record)
  if (body.kind === 'access') return body.ttlMs
  return Math.min(...termsOf(record).map((term) => term.expiresMs))
}

/** The digest that an access request is bound to. */
export function accessDigest(asked: {
  readonly principal: string
  readonly target: string
  readonly roles: readonly string[]
  readonly reason: string | undefined
  readonly ticket: string | undefined
  readonly ttlMs: number
  readonly terms: readonly ApprovalTerms[]
}): string {
  return createHash('sha256')
    .update(canonicalJson({ kind: 'access', ...asked }))
    .digest('hex')
}

/** The page of a request. */
export function requestUrl(publicUrl: string, id: string): string {
  return `${publicUrl}/r/${id}`
}

export function unknownRequest(): VgateError {
  return new VgateError('VGATE_NOT_FOUND', 'there is no request of that id', {
    hint: 'see `vgate requests`',
  })
}

/** True when somebody of these groups counts for the rule. */
export function isIn(groups: readonly string[], term: ApprovalTerms): boolean {
  return term.by.some((group) => groups.includes(group))
}
