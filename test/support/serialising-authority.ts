// Owns an Authority that lets nothing but JSON through, as a message between an agent and its gateway would.

import type { Authority, SessionNotice } from '../../src/core/authority.js'
import { isErrorCode, VgateError } from '../../src/core/errors.js'

/** Wraps an authority so that every argument, answer, notice and error crosses as JSON text. `crossings` counts them by method. */
export function serialising(
  inner: Authority,
): Authority & { readonly crossings: Map<string, number> } {
  const crossings = new Map<string, number>()
  const call = async <A, R>(
    method: string,
    argument: A,
    run: (argument: A) => Promise<R>,
  ): Promise<R> => {
    crossings.set(method, (crossings.get(method) ?? 0) + 1)
    const sent = cross(argument)
    let answer: string
    try {
      answer = JSON.stringify({ ok: (await run(sent)) ?? null })
    } catch (error) {
      if (!(error instanceof VgateError)) throw error
      const { code, message, hint } = error
      answer = JSON.stringify({ error: { code, message, hint } })
    }
    const received = JSON.parse(answer) as
      | { ok: R }
      | { error: { code: string; message: string; hint?: string } }
    if ('ok' in received) return received.ok
    const { code, message, hint } = received.error
    throw new VgateError(
      isErrorCode(code) ? code : 'VGATE_UNEXPECTED',
      message,
      hint === undefined ? {} : { hint },
    )
  }
  return {
    crossings,
    openSession: (request) => call('openSession', request, (sent) => inner.openSession(sent)),
    leaseCredential: (session) =>
      call('leaseCredential', session, (sent) => inner.leaseCredential(sent)),
    renewLease: (session) => call('renewLease', session, (sent) => inner.renewLease(sent)),
    closeSession: (summary) => call('closeSession', summary, (sent) => inner.closeSession(sent)),
    leaseBudget: (given) => call('leaseBudget', given, (sent) => inner.leaseBudget(sent)),
    requestApproval: (asked) =>
      call('requestApproval', asked, (sent) => inner.requestApproval(sent)),
    consumeApproval: (given) =>
      call('consumeApproval', given, (sent) => inner.consumeApproval(sent)),
    voidApproval: (given) => call('voidApproval', given, (sent) => inner.voidApproval(sent)),
    recordOutcome: (given) => call('recordOutcome', given, (sent) => inner.recordOutcome(sent)),
    users: {
      begun: (given) => call('users.begun', given, (sent) => inner.users.begun(sent)),
      failed: (given) => call('users.failed', given, (sent) => inner.users.failed(sent)),
      dropped: (user) => call('users.dropped', user, (sent) => inner.users.dropped(sent)),
      kept: (given) => call('users.kept', given, (sent) => inner.users.kept(sent)),
      left: () => call('users.left', null, () => inner.users.left()),
      leaseCredential: (user) =>
        call('users.leaseCredential', user, (sent) => inner.users.leaseCredential(sent)),
    },
    watch: (session, listener) =>
      inner.watch(cross(session), (notice: SessionNotice) => {
        crossings.set('watch', (crossings.get('watch') ?? 0) + 1)
        listener(cross(notice))
      }),
  }
}

function cross<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}
