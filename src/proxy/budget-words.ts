// Owns the words in which a budget is spoken of: the number, the time, what is left, and when more is free.

import type { Claim } from '../policy/budgets.js'

type Sized = Claim & { readonly limit: number }

/** What is left, as far as it is known. */
export interface Left {
  readonly amount: number
  /** Held by requests that are not over. */
  readonly inUse: number
  /** Milliseconds since the epoch. */
  readonly freesAt?: number
}

/** An operation that needs more than is left. Without `left` it needs more than there ever is. */
export function leftWords(
  claim: Sized,
  needed: number,
  left: Left | undefined,
  flexible: boolean,
): { readonly message: string; readonly hint: string } {
  const allowed = `${claim.rule} allows ${amountOf(claim)} in ${span(claim.perMs)}`
  if (left === undefined) {
    const hint =
      claim.limit === 0 ? `leave the ${nameOf(claim)} out` : `ask for at most ${claim.limit}`
    return { message: `${allowed}; this needs ${needed}`, hint }
  }
  const held = left.inUse === 0 ? '' : `, and ${left.inUse} are held by requests that are not over`
  const what =
    flexible || needed <= 1
      ? `${left.amount} are left`
      : `${left.amount} are left, this needs ${needed}`
  return { message: `${allowed}: ${what}${held}`, hint: hintOf(claim, left, flexible) }
}

/** A read that went on to what was left. */
export function pastWords(
  claim: Sized,
  rows: number,
  left: Left,
): { readonly message: string; readonly hint: string } {
  return {
    message: `the read went past ${rows} rows, all that is left of ${claim.rule}: ${amountOf(claim)} in ${span(claim.perMs)}`,
    hint: hintOf(claim, left, true),
  }
}

function hintOf(claim: Claim, { amount, inUse, freesAt }: Left, flexible: boolean): string {
  const fewer = amount > 0 && !flexible && claim.perRow > 0
  const rows = fewer ? Math.floor((amount - claim.fixed) / claim.perRow) : 0
  const said: string[] = []
  if (rows > 0) said.push(`add LIMIT ${rows}`)
  if (inUse > 0) said.push('wait for what is not over')
  if (freesAt !== undefined) said.push(`more is free from ${moment(freesAt)} on`)
  return said.join('; ') || 'ask for a role with a larger budget'
}

function amountOf(claim: Sized): string {
  if (claim.share === undefined) return `${claim.limit} ${nameOf(claim)}`
  const { of, collection } = claim.share
  return `${claim.limit} rows (${Number((of * 100).toFixed(3))}% of ${collection})`
}

function nameOf({ kind }: Claim): string {
  if (kind === 'vectors') return 'embeddings'
  return kind === 'probes' ? 'probes' : 'rows'
}

/** `24 h`, `90 s`: in the largest unit that keeps it whole. */
function span(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const
  const [length, unit] = units.find(([each]) => ms > each && ms % each === 0) ?? [1_000, 's']
  return `${ms / length} ${unit}`
}

const moment = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
