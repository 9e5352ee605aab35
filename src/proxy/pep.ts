// Owns the order in which one request is let through or refused (architecture.md, "The order that makes it safe").
// Nothing else in the house builds a permit. Any throw on the way is a denial.

import type { RecordedApproval } from '../audit/records.js'
import type { JudgeRequest, Refusal, Ruling } from '../core/adapter.js'
import type { Clock } from '../core/clock.js'
import type { Hold, Obligations, RecordLevel, RowLimit } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import { isOperation } from '../core/operation.js'
import { recordLevel, strictestLevel } from '../policy/obligations.js'
import { budgeted, type Outcome, paced } from './consumption.js'
import type { Decisions } from './decisions.js'
import { type HoldQuestion, holdQuestion, lifted, limitQuestion } from './hold-question.js'
import type { Pace } from './pace.js'
import { asRefusal, denial, unclassified } from './refusals.js'
import type { BudgetPort } from './session-budgets.js'
import { type Standing, whyOver } from './standing.js'

/** The outcome of one request, as it is recorded before anything is forwarded. */
export interface Judgement {
  readonly verdict: 'permit' | 'deny' | 'hold'
  readonly rule: string
  readonly reason?: string
  readonly obligations: readonly Obligations[]
  readonly approval?: RecordedApproval
}

/** A judgement with what may be recorded of its request. */
export type RecordedJudgement = Judgement & { readonly record: RecordLevel }

/** Asking, waiting and using up (proxy/holds.ts). Decides nothing. */
export interface HoldPort {
  /** True while a request of this digest is alive. Asks nobody. */
  isAsked(digest: string): boolean
  /** Asks and waits. Answers the request's id once it is approved; rejects with why it may not run. */
  wait(id: number, request: JudgeRequest, question: HoldQuestion): Promise<string>
  /** Uses an approval up, durably. Undefined when it cannot be used: it is over, or another run was faster. */
  consume(
    id: number,
    request: JudgeRequest,
    approved: string,
    digest: string,
  ): Promise<RecordedApproval | undefined>
  /** What was used up was not forwarded. */
  notRun(id: number, why: string): void
  /** A permitted read may reach a limit that a second person can lift. */
  mayExceed(id: number, request: JudgeRequest, question: HoldQuestion): void
}

/** Where outcomes are recorded. */
export interface IntentLog {
  /** Appends the outcome and hands it to the operating system; with `durable` the answer waits for the disk. Throws or rejects when it cannot. */
  intent(
    id: number,
    request: JudgeRequest,
    judgement: RecordedJudgement,
    durable: boolean,
  ): void | Promise<void>
}

export interface PepOptions {
  readonly clock: Clock
  readonly standing: () => Standing
  readonly log: IntentLog
  readonly decisions: Decisions
  readonly pace: Pace
  readonly budgets: BudgetPort
  /** `strict` makes every intent durable before it is forwarded. */
  readonly durability: 'standard' | 'strict'
  /** Tells the session's owner of a refusal. */
  readonly onDenied: (operation: string, refusal: Refusal) => void
  readonly holds: HoldPort
}

/**
 * Judges request `id` of one connection: standing of the session, policy, rates and budgets, record, then the answer.
 * Answers at once where nothing has to wait for the disk or for more of a budget. Never throws: what goes wrong is a denial.
 */
export function enforce(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
): Ruling | Promise<Ruling> {
  let outcome: Outcome
  try {
    outcome = judge(options, request)
  } catch (error) {
    outcome = denial(asRefusal(error), 'fail closed')
  }
  // 6: hold, and after it 2–5 again.
  if (outcome.hold !== undefined) return release(options, id, request, outcome, outcome.hold)
  const reserved = budgeted(options, id, request, paced(options, request, outcome))
  if (!(reserved instanceof Promise)) return record(options, id, request, reserved)
  return reserved.then((waited) => record(options, id, request, waited))
}

/** Step 5, and what follows it. */
function record(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  outcome: Outcome,
): Ruling | Promise<Ruling> {
  const { judgement } = outcome
  if (outcome.limit !== undefined) options.holds.mayExceed(id, request, outcome.limit)
  // A prepared statement that is permitted runs nothing: its intent is recorded when it is bound.
  if (request.phase === 'prepare' && judgement.verdict === 'permit')
    return finish(options, id, request, outcome)
  try {
    const durable = mustBeDurable(options, request, judgement)
    const recorded = options.log.intent(id, request, leveled(options, judgement), durable)
    if (recorded === undefined) return finish(options, id, request, outcome)
    return recorded.then(
      () => afterWait(options, id, request, outcome),
      (error: unknown) => finish(options, id, request, denial(asRefusal(error), 'recording')),
    )
  } catch (error) {
    return finish(options, id, request, denial(asRefusal(error), 'recording'))
  }
}

/** Several statements of one message are recorded at the level of the one that allows least; what is refused as its roles say. */
function leveled(options: PepOptions, judgement: Judgement): RecordedJudgement {
  const { policy, grant } = options.standing()
  const levels = judgement.obligations.map(({ record: level }) => level)
  const level = levels.length === 0 ? recordLevel(policy, grant.roles) : strictestLevel(levels)
  return { ...judgement, record: level }
}

/** Times that an approval may turn out to be used or void before the request gives up. */
const RELEASES_MAX = 10

/**
 * Waits for a second person, then judges anew, uses the approval up and records it; only then is it permitted. What
 * was approved is what runs: another digest asks again.
 */
async function release(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  first: Outcome,
  asked: HoldQuestion,
): Promise<Ruling> {
  let question = asked
  try {
    const { rule, reason } = question
    const { obligations } = first.judgement
    const judgement = leveled(options, { verdict: 'hold', rule, reason, obligations })
    await options.log.intent(id, request, judgement, false)
    for (let round = 0; round < RELEASES_MAX; round += 1) {
      const approved = await options.holds.wait(id, request, question)
      const again = judge(options, request)
      if (again.hold === undefined) return await enforceAgain(options, id, request, again)
      const { digest } = again.hold
      if (digest === question.digest) {
        // Before it is used up: what is one too many may be run again under the same approval.
        const ready = await budgeted(options, id, request, paced(options, request, again))
        if (ready.refusal !== undefined) return await record(options, id, request, ready)
        const approval = await options.holds.consume(id, request, approved, digest)
        if (approval !== undefined) return await approvedRun(options, id, request, ready, approval)
        options.budgets.notRun(id)
      }
      question = again.hold
    }
    throw new VgateError('VGATE_APPROVAL_EXPIRED', 'the approval was used by another run')
  } catch (error) {
    return await record(options, id, request, denial(asRefusal(error), question.rule))
  }
}

/** What was held before is permitted by itself now. */
async function enforceAgain(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  outcome: Outcome,
): Promise<Ruling> {
  const ready = await budgeted(options, id, request, paced(options, request, outcome))
  return await record(options, id, request, ready)
}

async function approvedRun(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  outcome: Outcome,
  approval: RecordedApproval,
): Promise<Ruling> {
  const judgement: Judgement = { ...outcome.judgement, approval }
  let refused: Outcome | undefined
  try {
    await options.log.intent(id, request, leveled(options, judgement), true)
    const over = whyOver(options.standing(), options.clock.now())
    if (over !== undefined) refused = denial(over, 'session')
  } catch (error) {
    refused = denial(asRefusal(error), 'recording')
  }
  if (refused === undefined) return finish(options, id, request, { judgement })
  options.holds.notRun(id, refused.judgement.reason ?? 'refused')
  return finish(options, id, request, refused)
}

function judge(options: PepOptions, request: JudgeRequest): Outcome {
  const standing = options.standing()
  const over = whyOver(standing, options.clock.now())
  if (over !== undefined) return denial(over, 'session')
  const rules: string[] = []
  const holds: Hold[] = []
  const ends: RowLimit[] = []
  const before = options.pace.lookBack(standing, request)
  const obligations: Obligations[] = []
  for (const operation of request.operations) {
    if (!isOperation(operation)) return unclassified(operation)
    const recent = before?.recent(operation)
    const decision = options.decisions.decide(standing.policy, {
      principal: standing.principal,
      roles: standing.grant.roles,
      target: standing.target.name,
      ...(standing.target.contact === undefined ? {} : { contact: standing.target.contact }),
      operation,
      phase: request.phase,
      ...(standing.grant.collections === undefined
        ? {}
        : { collections: standing.grant.collections }),
      ...(recent === undefined ? {} : { recent }),
    })
    if (decision.verdict === 'deny') {
      return denial(
        new VgateError(decision.code, decision.reason, { hint: decision.hint }),
        decision.rule,
      )
    }
    // What will be held may be parsed and described: that runs nothing.
    const isHeld = decision.verdict === 'hold' && request.phase === 'execute'
    const { rowLimit } = decision.obligations
    if (isHeld) holds.push(decision)
    else if (rowLimit?.because === 'hold') ends.push(rowLimit)
    rules.push(decision.verdict === 'hold' ? decision.permittedBy : decision.rule)
    obligations.push(
      isHeld && decision.risks.includes('bulk-export')
        ? lifted(decision.obligations)
        : decision.obligations,
    )
  }
  const judgement: Judgement = {
    verdict: 'permit',
    rule: [...new Set(rules)].join(', ') || 'no operation',
    obligations,
  }
  const counted = before === undefined ? {} : { count: before.count }
  if (holds.length > 0) return { ...held(standing, request, judgement, holds), ...counted }
  return request.phase === 'execute' && ends.length > 0
    ? { ...unbounded(options, standing, request, judgement, ends), ...counted }
    : { judgement, ...counted }
}

/** Several holds, of one statement or of several: all apply, and one answer is for the whole request. */
function held(
  standing: Standing,
  request: JudgeRequest,
  judgement: Judgement,
  holds: readonly Hold[],
): Outcome {
  const question = holdQuestion(standing, request, holds)
  return 'digest' in question
    ? { judgement, hold: question }
    : denial(question.refused, question.rule)
}

/** A read that nothing bounds runs up to its limit; where that has happened, the identical retry waits. */
function unbounded(
  options: PepOptions,
  standing: Standing,
  request: JudgeRequest,
  judgement: Judgement,
  ends: readonly RowLimit[],
): Outcome {
  const question = limitQuestion(standing, request, ends)
  if (question === undefined) return { judgement }
  if (!options.holds.isAsked(question.digest)) return { judgement, limit: question }
  const obligations = judgement.obligations.map(lifted)
  return { judgement: { ...judgement, obligations }, hold: question }
}

/** recording.md, "Durability": reads survive the process, everything else survives the machine. */
function mustBeDurable(options: PepOptions, request: JudgeRequest, judgement: Judgement): boolean {
  if (judgement.verdict === 'deny') return false
  if (options.durability === 'strict') return true
  return request.operations.some(
    (operation) =>
      isOperation(operation) && operation.access !== 'read' && operation.access !== 'none',
  )
}

/** While the disk was waited for, the grant may have ended. */
function afterWait(
  options: PepOptions,
  id: number,
  request: JudgeRequest,
  outcome: Outcome,
): Ruling {
  if (outcome.refusal === undefined) {
    const over = whyOver(options.standing(), options.clock.now())
    if (over !== undefined) return finish(options, id, request, denial(over, 'session'))
  }
  return finish(options, id, request, outcome)
}

function finish(options: PepOptions, id: number, request: JudgeRequest, outcome: Outcome): Ruling {
  const { refusal, judgement } = outcome
  if (refusal === undefined) return { verdict: 'permit', obligations: judgement.obligations }
  options.budgets.notRun(id)
  // A typing error is nobody's refusal: it is recorded, and not announced.
  if (refusal.serverError === undefined) options.onDenied(describe(request), refusal)
  return { verdict: 'deny', refusal }
}

function describe(request: JudgeRequest): string {
  const names = request.operations.map((operation) =>
    isOperation(operation) ? operation.name : 'unknown',
  )
  return [...new Set(names)].join(', ') || request.form
}
