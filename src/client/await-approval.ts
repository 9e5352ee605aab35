// Owns waiting for access that a second person has to approve. A wait that ends early leaves the request open: the
// same `connect` takes it up later.

import type { GrantBody } from '../core/api.js'
import type { GrantPending } from '../core/api-requests.js'
import { VgateError } from '../core/errors.js'
import type { ConnectEvent, ConnectOptions } from './connect.js'
import type { GatewayApi } from './gateway-api.js'

const POLL_MS = 1_000
/** A gateway that does not answer is asked again so many times. */
const FAILURES_MAX = 10

/** The grant, once it is given. Rejects with VGATE_APPROVAL_PENDING, VGATE_APPROVAL_DENIED or VGATE_APPROVAL_EXPIRED. */
export async function approvedGrant(
  api: GatewayApi,
  options: Pick<ConnectOptions, 'request' | 'wait'>,
  tell: (event: ConnectEvent) => void,
): Promise<GrantBody['grant']> {
  const told = new Set<string>()
  for (;;) {
    const answer = await api.requestGrant(options.request)
    if ('grant' in answer) return answer.grant
    const { pending } = answer
    const { request, approvers, url } = pending
    if (!told.has(request)) tell({ event: 'waiting_approval', request, approvers, url })
    told.add(request)
    if (!options.wait) throw stillPending(pending)
    await answered(api, request)
  }
}

function stillPending({ request, approvers }: GrantPending): VgateError {
  return new VgateError(
    'VGATE_APPROVAL_PENDING',
    `request ${request} waits for ${approvers.join(' or ')}`,
    { hint: 'run the same again after approval', details: { request } },
  )
}

/** Resolves when the request is open no more; rejects when it was not approved. */
async function answered(api: GatewayApi, id: string): Promise<void> {
  let failures = 0
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    try {
      const { state, answers } = await api.request(id)
      failures = 0
      if (state === 'open') continue
      if (state === 'approved' || state === 'consumed') return
      const denial = answers.find((one) => one.verdict === 'deny')
      const why = denial === undefined ? '' : ` by ${denial.name}: ${denial.reason ?? ''}`
      if (state === 'expired')
        throw new VgateError('VGATE_APPROVAL_EXPIRED', `request ${id} expired unanswered`, {
          hint: 'run it again to ask anew',
        })
      throw new VgateError('VGATE_APPROVAL_DENIED', `request ${id} was ${state}${why}`)
    } catch (error) {
      const away = error instanceof VgateError && error.code === 'VGATE_GATEWAY_UNREACHABLE'
      failures += 1
      if (!away || failures > FAILURES_MAX) throw error
    }
  }
}
