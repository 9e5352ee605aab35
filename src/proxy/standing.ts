// Owns what a session stands on, and why it stands no more.

import { VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import type { Principal } from '../core/principal.js'
import type { CompiledPolicy } from '../policy/compile.js'

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

/** The grant has an absolute end, and without a fresh lease nobody knows whether it still stands. */
export function whyOver(standing: Standing, now: number): VgateError | undefined {
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
