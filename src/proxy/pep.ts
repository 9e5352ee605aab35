// Owns the order in which one request is let through or refused (architecture.md, "The order that makes it safe").
// Nothing else in the house builds a permit. Any throw on the way is a denial.

import type { JudgeRequest, Refusal, Ruling } from '../core/adapter.js'
import type { Clock } from '../core/clock.js'
import type { Hold, Obligations } from '../core/decision.js'
import { ERRORS, VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import type { Operation, Unclassified } from '../core/operation.js'
import type { Principal } from '../core/principal.js'
import type { CompiledPolicy } from '../policy/compile.js'
import type { Decisions } from './decisions.js'

/** What the judgement of a session stands on, as of now. */
export interface Standing {
  readonly principal: Principal
  readonly grant: Grant
  readonly target: { readonly name: string; readonly contact?: string }
  readonly policy: CompiledPolicy
  /** Milliseconds since the epoch; past it the authority may have changed its mind. */
  readonly leaseUntil: number
  /** Why the session is over, once it is. */
  readonly ended?: VgateError
}

/** The outcome of one request, as it is recorded before anything is forwarded. */
export interface Judgement {
  readonly verdict: 'permit' | 'deny'
  readonly rule: string
  readonly reason?: string
  readonly obligations: readonly Obligations[]
}

/** Where outcomes are recorded. */
export interface IntentLog {
  /** Appends the outcome and hands it to the operating system; with `durable` the answer waits for the disk. Throws or rejects when it cannot. */
  intent(
    id: number,
    request: JudgeRequest,
    judgement: Judgement,
    durable: boolean,
  ): void | Promise<void>
}

export interface PepOptions {
  readonly clock: Clock
  readonly standing: () => Standing
  readonly log: IntentLog
  readonly decisions: Decisions
  /** `strict` makes every intent durable before it is forwarded. */
  readonly durability: 'standard' | 'strict'
  /** Tells the session's owner of a refusal. */
  readonly onDenied: (operation: string, refusal: Refusal) => void
}

/**
 * Judges request `id` of one connection: standing of the session, policy, record, then the answer. Answers at once where nothing has to
 * wait for the disk. Never throws: what goes wrong is a denial.
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
    outcome = denial(asVgateError(error), 'fail closed')
  }
  const { judgement } = outcome
  // A prepared statement that is permitted runs nothing: its intent is recorded when it is bound.
  if (request.phase === 'prepare' && judgement.verdict === 'permit')
    return finish(options, request, outcome)
  try {
    const recorded = options.log.intent(
      id,
      request,
      judgement,
      mustBeDurable(options, request, judgement),
    )
    if (recorded === undefined) return finish(options, request, outcome)
    return recorded.then(
      () => afterWait(options, request, outcome),
      (error: unknown) => finish(options, request, denial(asVgateError(error), 'recording')),
    )
  } catch (error) {
    return finish(options, request, denial(asVgateError(error), 'recording'))
  }
}

interface Outcome {
  readonly judgement: Judgement
  readonly refusal?: Refusal
}

function judge(options: PepOptions, request: JudgeRequest): Outcome {
  const standing = options.standing()
  const over = whyOver(standing, options.clock.now())
  if (over !== undefined) return denial(over, 'session')
  const rules: string[] = []
  const obligations: Obligations[] = []
  for (const operation of request.operations) {
    if (isUnclassified(operation)) return unclassified(operation)
    const decision = options.decisions.decide(standing.policy, {
      principal: standing.principal,
      roles: standing.grant.roles,
      target: standing.target.name,
      ...(standing.target.contact === undefined ? {} : { contact: standing.target.contact }),
      operation,
      phase: request.phase,
    })
    if (decision.verdict === 'deny') {
      return denial(
        new VgateError(decision.code, decision.reason, { hint: decision.hint }),
        decision.rule,
      )
    }
    // What will be held may be parsed and described: that runs nothing.
    if (decision.verdict === 'hold' && request.phase === 'execute') return held(decision)
    rules.push(decision.rule)
    obligations.push(decision.obligations)
  }
  return {
    judgement: {
      verdict: 'permit',
      rule: [...new Set(rules)].join(', ') || 'no operation',
      obligations,
    },
  }
}

/** The grant has an absolute end, and without a fresh lease nobody knows whether it still stands. */
function whyOver(standing: Standing, now: number): VgateError | undefined {
  if (standing.ended !== undefined) return standing.ended
  if (now >= standing.grant.endsAt) {
    return new VgateError('VGATE_GRANT_ENDED', 'the grant has ended', {
      hint: 'run `vgate connect` again',
    })
  }
  if (now >= standing.leaseUntil) {
    return new VgateError(
      'VGATE_DENIED',
      'the gateway cannot confirm that the grant still stands',
      {
        hint: 'try again in a moment; tell the gateway’s administrator if it stays so',
      },
    )
  }
  return undefined
}

function held(decision: Hold): Outcome {
  return denial(
    new VgateError(
      'VGATE_DENIED',
      `${decision.reason}: it would wait for a second person, and approvals are not supported yet`,
      {
        hint: 'narrow it (name the keys, add a LIMIT), or ask for a role that is excepted from the hold',
      },
    ),
    decision.rule,
  )
}

function unclassified(operation: Unclassified): Outcome {
  const { serverError } = operation
  const outcome = denial(
    new VgateError('VGATE_OPERATION_UNKNOWN', `refused: ${operation.reason}`, {
      hint: operation.hint ?? 'what the gateway does not understand it does not pass on',
    }),
    'default deny',
  )
  if (serverError === undefined || outcome.refusal === undefined) return outcome
  return { ...outcome, refusal: { ...outcome.refusal, serverError } }
}

function denial(error: VgateError, rule: string): Outcome {
  const refusal: Refusal = {
    sqlstate: ERRORS[error.code].sqlstate,
    http: ERRORS[error.code].http,
    grpc: ERRORS[error.code].grpc,
    rule,
    message: error.message.includes(rule) ? error.message : `${error.message} (rule: ${rule})`,
    hint: error.hint ?? '',
  }
  return { judgement: { verdict: 'deny', rule, reason: error.message, obligations: [] }, refusal }
}

/** recording.md, "Durability": reads survive the process, everything else survives the machine. */
function mustBeDurable(options: PepOptions, request: JudgeRequest, judgement: Judgement): boolean {
  if (judgement.verdict === 'deny') return false
  if (options.durability === 'strict') return true
  return request.operations.some(
    (operation) =>
      !isUnclassified(operation) && operation.access !== 'read' && operation.access !== 'none',
  )
}

/** While the disk was waited for, the grant may have ended. */
function afterWait(options: PepOptions, request: JudgeRequest, outcome: Outcome): Ruling {
  if (outcome.refusal === undefined) {
    const over = whyOver(options.standing(), options.clock.now())
    if (over !== undefined) return finish(options, request, denial(over, 'session'))
  }
  return finish(options, request, outcome)
}

function finish(options: PepOptions, request: JudgeRequest, outcome: Outcome): Ruling {
  const { refusal, judgement } = outcome
  if (refusal === undefined) return { verdict: 'permit', obligations: judgement.obligations }
  // A typing error is nobody's refusal: it is recorded, and not announced.
  if (refusal.serverError === undefined) options.onDenied(describe(request), refusal)
  return { verdict: 'deny', refusal }
}

function describe(request: JudgeRequest): string {
  const names = request.operations.map((operation) =>
    isUnclassified(operation) ? 'unknown' : operation.name,
  )
  return [...new Set(names)].join(', ') || request.form
}

function isUnclassified(operation: Operation | Unclassified): operation is Unclassified {
  return !('access' in operation)
}

function asVgateError(error: unknown): VgateError {
  if (error instanceof VgateError) return error
  return new VgateError(
    'VGATE_UNEXPECTED',
    'the gateway failed while judging this; nothing was run',
    { cause: error },
  )
}
