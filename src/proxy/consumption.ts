// Owns step 4 of the order: what a permitted request uses up. Rates and windows count in one moment with the judgement;
// of a budget more may have to be waited for.

import type { JudgeRequest, Refusal } from '../core/adapter.js'
import type { Obligations } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import { BudgetExceeded } from './budgets.js'
import type { HoldQuestion } from './hold-question.js'
import type { Judgement, PepOptions } from './pep.js'
import { asRefusal, denial } from './refusals.js'
import { whyOver } from './standing.js'

/** What became of a request so far. */
export interface Outcome {
  readonly judgement: Judgement
  readonly refusal?: Refusal
  /** A second person has to say yes before the judgement stands. */
  readonly hold?: HoldQuestion
  /** What a second person would be asked if the read reaches its limit. */
  readonly limit?: HoldQuestion
  /** Counts what it writes; called once it goes on. */
  readonly count?: () => void
}

/** Step 4: what may be read comes out of what is left of budgets. */
export function budgeted(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  outcome: Outcome,
): Outcome | Promise<Outcome> {
  const { judgement } = outcome
  if (judgement.verdict !== 'permit' || request.phase !== 'execute') return outcome
  const standing = options.standing()
  const within = (obligations: readonly Obligations[]): Outcome => ({
    ...outcome,
    judgement: { ...judgement, obligations },
  })
  const exceeded = (error: unknown): Outcome =>
    denial(asRefusal(error), error instanceof BudgetExceeded ? error.rule : 'budget')
  try {
    const reserved = options.budgets.reserve(id, standing, request, judgement.obligations)
    if (reserved === undefined) return outcome
    if (!(reserved instanceof Promise)) return within(reserved)
    return reserved.then((obligations) => {
      // What was judged before the wait was judged under this policy and this grant.
      const over = whyOver(options.standing(), options.clock.now())
      if (over !== undefined) return denial(over, 'session')
      if (options.standing().policy !== standing.policy) return denial(changed(), 'policy')
      return within(obligations)
    }, exceeded)
  } catch (error) {
    return exceeded(error)
  }
}

function changed(): VgateError {
  return new VgateError('VGATE_DENIED', 'the policy has changed while this waited', {
    hint: 'run it again',
  })
}

/** Step 4: what is permitted counts, or is one too many. */
export function paced(options: PepOptions, request: JudgeRequest, outcome: Outcome): Outcome {
  if (outcome.judgement.verdict !== 'permit') return outcome
  const exceeded = options.pace.take(options.standing(), request)
  if (exceeded !== undefined) return exceeded
  outcome.count?.()
  return outcome
}
