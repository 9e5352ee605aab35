// Owns the decisions of one session that may be asked for again: the same operation under the same policy gets the same
// answer, because `decide` is pure. It must never answer for another policy, principal, role or target.

import type { Decision } from '../core/decision.js'
import type { Operation } from '../core/operation.js'
import type { CompiledPolicy } from '../policy/compile.js'
import { type DecideRequest, decide } from '../policy/decide.js'

type Known = Record<DecideRequest['phase'], WeakMap<Operation, Decision>>

const none = (): Known => ({ prepare: new WeakMap(), execute: new WeakMap() })

/** Decides with a memory of operation objects, which are never changed after they were made. */
export class Decisions {
  #policy: CompiledPolicy | undefined
  #asker: Omit<DecideRequest, 'operation' | 'phase' | 'recent'> | undefined
  #known = none()

  /** What `decide` answers. */
  decide(policy: CompiledPolicy, request: DecideRequest): Decision {
    // What was written before it changes with every write.
    if (request.recent !== undefined) return decide(policy, request)
    if (policy !== this.#policy || !sameAsker(this.#asker, request)) {
      this.#known = none()
      this.#policy = policy
      this.#asker = request
    }
    const known = this.#known[request.phase].get(request.operation)
    if (known !== undefined) return known
    const decision = decide(policy, request)
    this.#known[request.phase].set(request.operation, decision)
    return decision
  }
}

function sameAsker(
  one: Omit<DecideRequest, 'operation' | 'phase' | 'recent'> | undefined,
  other: DecideRequest,
): boolean {
  return (
    one?.principal === other.principal &&
    one.roles === other.roles &&
    one.target === other.target &&
    one.contact === other.contact &&
    one.collections === other.collections
  )
}
