// Owns the proof that a session lives exactly as long as grant, policy and gateway let it.

import { describe, expect, it } from 'vitest'
import { grantBody } from '../../../src/core/api.js'
import type { SessionNotice, SessionSummary } from '../../../src/core/authority.js'
import { POLICY, policyOf, setup } from './control-fixture.js'

const client = { version: '1', platform: 'linux', command: 'connect' } as const

async function withGrant(over: { sessionsPerPrincipal?: number; ttl?: number } = {}) {
  const world = await setup(over)
  const token = await world.login('ana', ['data'])
  const request = { target: 'prod', ...(over.ttl === undefined ? {} : { ttl_seconds: over.ttl }) }
  const { grant } = grantBody.parse((await world.call('POST', '/v1/grants', token, request)).json)
  const { principal } = await world.tokens.verify(token)
  const open = (as = principal.id, id = grant.id) =>
    world.authority.openSession({ grant: id, principal: as, client })
  return { ...world, grant, principal, open }
}

const summary = (session: string, reason: SessionSummary['reason']): SessionSummary => ({
  session,
  reason,
  operations: 2,
  denied: 1,
  rows: 5,
  bytesOut: 100,
  recording: { records: 9, head: 'ff' },
})

describe('openSession', () => {
  it('leases what the data plane needs, and no credential; as JSON', async () => {
    const { open, clock, principal, policy, log } = await withGrant()
    const lease = await open()
    expect(lease).toMatchObject({
      principal,
      target: { name: 'prod', host: '127.0.0.1' },
      policy: { source: POLICY, hash: policy.current.hash },
      leaseUntil: clock.at + 5000,
    })
    expect(JSON.parse(JSON.stringify(lease))).toEqual(lease)
    expect(JSON.stringify(lease)).not.toContain('PGPASS')
    expect(log.at(-1)).toMatchObject({
      sync: true,
      body: { type: 'session.started', session: lease.session },
    })
  })

  it("is refused for another's grant as for an unknown one", async () => {
    const { open, login, tokens } = await withGrant()
    const bob = (await tokens.verify(await login('bob', ['data']))).principal
    for (const attempt of [open(bob.id), open('usr_none'), open(undefined, 'grt_none')]) {
      await expect(attempt).rejects.toMatchObject({
        code: 'VGATE_NOT_FOUND',
        message: 'there is no grant of that id for you',
      })
    }
  })

  it('is refused at the very end of the grant, when revoked, and when policy has changed', async () => {
    const { open, clock, grant, store, policy, principal } = await withGrant()
    policy.current = policyOf(POLICY.replace('group: data', 'group: nobody'))
    await expect(open()).rejects.toMatchObject({
      code: 'VGATE_REVOKED',
      message: 'policy no longer gives this access',
    })
    policy.current = policyOf(POLICY)
    clock.at = Date.parse(grant.ends_at)
    await expect(open()).rejects.toMatchObject({ code: 'VGATE_GRANT_ENDED' })
    clock.at -= 1
    await store.revokeGrant(grant.id, principal.id, 'left')
    await expect(open()).rejects.toMatchObject({
      code: 'VGATE_REVOKED',
      message: 'the grant was revoked',
    })
  })

  it('is limited per principal, and the place comes back', async () => {
    const { open, authority } = await withGrant({ sessionsPerPrincipal: 1 })
    const { session } = await open()
    await expect(open()).rejects.toMatchObject({
      code: 'VGATE_LIMIT_EXCEEDED',
      message: 'you have 1 open sessions, the most there may be',
    })
    await authority.closeSession(summary(session, 'stopped'))
    expect((await open()).session).not.toBe(session)
  })

  it('leaves nothing open when the log cannot be written', async () => {
    const { open, audit, store } = await withGrant()
    audit.broken = true
    await expect(open()).rejects.toMatchObject({ code: 'VGATE_RECORDING_UNAVAILABLE' })
    expect(await store.listSessions({ limit: 9 })).toMatchObject([{ state: 'error' }])
  })
})

describe('a session', () => {
  it('renews its lease up to the end of the grant and no further', async () => {
    const { open, authority, clock, grant } = await withGrant()
    const { session } = await open()
    clock.at = Date.parse(grant.ends_at) - 2000
    expect((await authority.renewLease(session)).leaseUntil).toBe(Date.parse(grant.ends_at))
    clock.at += 2000
    await expect(authority.renewLease(session)).rejects.toMatchObject({ code: 'VGATE_GRANT_ENDED' })
    await expect(authority.leaseCredential(session)).rejects.toMatchObject({
      code: 'VGATE_GRANT_ENDED',
    })
  })

  it('loses its lease and its credential by a revocation', async () => {
    const { open, authority, store, grant } = await withGrant()
    const { session } = await open()
    expect(await authority.leaseCredential(session)).toEqual({
      username: 'vgate',
      password: 'planted-password',
    })
    await store.revokeGrant(grant.id, 'usr_x', 'left')
    await expect(authority.renewLease(session)).rejects.toMatchObject({ code: 'VGATE_REVOKED' })
    await expect(authority.leaseCredential(session)).rejects.toMatchObject({
      code: 'VGATE_REVOKED',
    })
  })

  it('may lease of its own budgets while it stands, and settle when it is over', async () => {
    const { open, authority, store, grant, login, tokens } = await withGrant()
    const { session } = await open()
    const asked = {
      session,
      counter: 'rows',
      holder: 'h',
      taken: 0,
      keep: 0,
      limit: 10,
      perMs: 60_000,
    }
    expect(await authority.leaseBudget({ ...asked, seq: 1, hold: 6 })).toMatchObject({ hold: 6 })
    await store.revokeGrant(grant.id, 'usr_x', 'left')
    await expect(authority.leaseBudget({ ...asked, seq: 2, hold: 9 })).rejects.toMatchObject({
      code: 'VGATE_REVOKED',
    })
    await authority.closeSession(summary(session, 'revoked'))
    const settled = { ...asked, seq: 3, taken: 4, hold: 9, settle: true } as const
    expect(await authority.leaseBudget(settled)).toMatchObject({ hold: 2, taken: 4 })
    await expect(authority.leaseBudget({ ...settled, session: 'ses_none' })).rejects.toMatchObject({
      code: 'VGATE_NOT_FOUND',
    })
    // Whose budget it is says the session, nobody else.
    const bob = (await tokens.verify(await login('bob', ['data']))).principal
    const of = { principal: bob.id, target: 'prod' }
    const other = { ...asked, ...of, seq: 1, hold: 10 }
    expect(await store.leaseBudget(other, { grow: true })).toMatchObject({ hold: 10, taken: 0 })
  })

  it('is told of the end of its grant once, at the absolute end', async () => {
    const { open, authority, advance, clock } = await withGrant({ ttl: 60 })
    clock.at += 10_000
    const { session } = await open()
    const notices: SessionNotice[] = []
    authority.watch(session, (notice) => notices.push(notice))
    advance(49_999)
    expect(notices).toEqual([])
    advance(1)
    expect(notices).toEqual([{ kind: 'ended', reason: 'expired', message: 'the grant has ended' }])
    authority.stop()
    expect(notices).toHaveLength(1)
  })

  it('tells the end to whoever watches too late', async () => {
    const { open, authority, advance } = await withGrant({ ttl: 60 })
    const { session } = await open()
    advance(60_000)
    const late = await new Promise((resolve) => authority.watch(session, resolve))
    expect(late).toEqual({ kind: 'ended', reason: 'expired', message: 'the grant has ended' })
    const unknown = await new Promise((resolve) => authority.watch('ses_none', resolve))
    expect(unknown).toEqual({ kind: 'ended', reason: 'error', message: 'the session is over' })
  })

  it('hears of a new policy, and ends when that gives nothing', async () => {
    const { open, authority, policy } = await withGrant()
    const { session } = await open()
    const notices: SessionNotice[] = []
    const stop = authority.watch(session, (notice) => notices.push(notice))
    policy.current = policyOf(`${POLICY}# changed\n`)
    authority.policyChanged()
    const { source, hash } = policy.current
    expect(notices).toEqual([{ kind: 'policy', source, hash }])
    expect((await authority.renewLease(session)).policyHash).toBe(hash)
    policy.current = policyOf(POLICY.replace('group: data', 'group: nobody'))
    authority.policyChanged()
    expect(notices.at(-1)).toEqual({
      kind: 'ended',
      reason: 'revoked',
      message: 'policy no longer gives this access',
    })
    stop()
  })

  it('ends when the gateway stops, after which none opens', async () => {
    const { open, authority } = await withGrant()
    const { session } = await open()
    const notices: SessionNotice[] = []
    authority.watch(session, (notice) => notices.push(notice))
    authority.stop()
    expect(notices).toEqual([
      { kind: 'ended', reason: 'stopped', message: 'the gateway is stopping' },
    ])
    await expect(open()).rejects.toMatchObject({ code: 'VGATE_GATEWAY_UNREACHABLE' })
  })

  it('is closed once, with its recording in the log, and leaves no timer', async () => {
    const { open, authority, store, log, timers } = await withGrant()
    const { session } = await open()
    await authority.closeSession(summary(session, 'upstream_lost'))
    await authority.closeSession(summary(session, 'error'))
    expect(await store.findSession(session)).toMatchObject({
      state: 'upstream_lost',
      operations: 2,
    })
    expect(log.filter((it) => it.body.type === 'session.ended')).toMatchObject([
      {
        sync: true,
        body: { session, reason: 'upstream_lost', recording: { records: 9, head: 'ff' } },
      },
    ])
    expect(timers).toEqual([])
    await expect(authority.renewLease(session)).rejects.toMatchObject({ code: 'VGATE_NOT_FOUND' })
  })
})
