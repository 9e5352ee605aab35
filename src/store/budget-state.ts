// Owns the arithmetic of one budget: what was taken, when it stops counting, and what is held for what is to come. Pure.
// It must never let what counts and what is held come to more than the limit by a lease.

import { z } from 'zod'
import type { BudgetLease, BudgetStanding } from '../core/budget.js'

/** Stretches of the time over which a budget goes; what is taken in one stops counting together, at its end. */
const STRETCHES = 48

const whole = z.number().int().min(0)
const stateSchema = z.strictObject({
  /** Beginning and end of a stretch, and what was taken in it; oldest first. */
  entries: z.array(z.tuple([z.number(), z.number(), whole])),
  /** By holder: taken altogether, held, and the number of its last message. */
  holders: z.record(z.string(), z.tuple([whole, whole, whole])),
  /** The longest time that was asked about. */
  keepMs: z.number().min(0),
})

/** A budget as it is stored. */
export type BudgetState = z.infer<typeof stateSchema>

export const NEW_BUDGET: BudgetState = { entries: [], holders: {}, keepMs: 0 }

/** Reads what `writeBudget` wrote. Throws for anything else. */
export function readBudget(text: string): BudgetState {
  return stateSchema.parse(JSON.parse(text))
}

/** The text that is stored. */
export function writeBudget(state: BudgetState): string {
  return JSON.stringify(state)
}

/** What a lease makes of a budget. With `grow` false nothing more is held than before. */
export function lease(
  state: BudgetState,
  asked: Omit<BudgetLease, 'counter'>,
  now: number,
  grow: boolean,
): { readonly state: BudgetState; readonly standing: BudgetStanding } {
  const { holder, seq, taken, hold, limit, perMs } = asked
  const keepMs = Math.max(state.keepMs, perMs)
  const [before, held, last] = state.holders[holder] ?? [0, 0, 0]
  const late = seq <= last
  const more = late ? 0 : Math.max(0, taken - before)
  const entries = withTaken(youngerThan(state.entries, now - keepMs), more, now, perMs)
  const counted = youngerThan(entries, now - perMs)
  const sum = counted.reduce((total, [, , count]) => total + count, 0)
  const others = heldBy(state, (name) => name !== holder)
  // What was taken comes out of what was held.
  const had = Math.max(0, held - more)
  const keep = Math.min(asked.keep, had)
  const room = Math.max(0, limit - sum - others)
  const given = late ? held : Math.max(keep, Math.min(hold, grow ? room : had))
  const holders = {
    ...state.holders,
    [holder]: [before + more, given, Math.max(last, seq)] as [number, number, number],
  }
  const [oldest] = counted
  return {
    state: { entries, holders, keepMs },
    standing: {
      hold: given,
      taken: sum,
      others,
      ...(oldest === undefined ? {} : { freesAt: oldest[1] + perMs }),
    },
  }
}

/** Nobody is left who could say what became of what was held: all of it was taken, now. */
export function fold(state: BudgetState, now: number): BudgetState {
  const held = heldBy(state, () => true)
  const entries = withTaken(youngerThan(state.entries, now - state.keepMs), held, now, state.keepMs)
  return { ...state, entries, holders: {} }
}

function heldBy(state: BudgetState, which: (holder: string) => boolean): number {
  return Object.entries(state.holders).reduce(
    (sum, [holder, [, held]]) => (which(holder) ? sum + held : sum),
    0,
  )
}

type Entries = BudgetState['entries']

/** A stretch counts until its end is over. */
function youngerThan(entries: Entries, before: number): Entries {
  return entries.filter(([, to]) => to > before)
}

function withTaken(entries: Entries, count: number, now: number, perMs: number): Entries {
  if (count === 0) return entries
  const last = entries.at(-1)
  // A clock that was set back begins no stretch before the last one: it counts longer, never shorter.
  const at = Math.max(now, last?.[1] ?? now)
  if (last === undefined || at - last[0] >= perMs / STRETCHES) return [...entries, [at, at, count]]
  return [...entries.slice(0, -1), [last[0], at, last[2] + count]]
}
