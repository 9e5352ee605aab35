// Owns a workload at the control API: exchange by issuer, what a refusal tells and what the log learns, grants that
// end with the token or go on with fresh ones, and that jobs of one subject do not borrow each other's claims.

import { describe, expect, it } from 'vitest'
import { claims } from '../identity/provider-fixture.js'
import { policyOf, setup } from './control-fixture.js'

const CI = 'https://ci.example.com'
const OWNED = 'owner: corp:ana, until: 2099-01-01'
const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: data }, role: reader, targets: [prod] }
  - { who: { provider: ci, claims: { env: prod } }, role: writer, targets: [prod], grant: { max: 2h }, ${OWNED} }
  - { who: { provider: ci, claims: { env: old } }, role: reader, targets: [prod], owner: corp:ana, until: 2026-01-01 }
`
const HOUR = 3_600_000

async function rig() {
  const here = await setup({ workload: { name: 'ci', issuer: CI, audience: 'vgate-ci' } })
  here.policy.current = policyOf(POLICY, [{ name: 'ci', issuer: CI }])
  const token = (over: Record<string, unknown> = {}, seconds = 600): Promise<string> => {
    const at = Math.floor(here.clock.at / 1000)
    return here.key.sign(
      claims({
        iss: CI,
        aud: 'vgate-ci',
        sub: 'job',
        env: 'prod',
        iat: at,
        exp: at + seconds,
        ...over,
      }),
    )
  }
  const exchange = async (over?: Record<string, unknown>, seconds?: number) =>
    here.call('POST', '/v1/token', undefined, { token: await token(over, seconds) })
  const access = async (over?: Record<string, unknown>, seconds?: number): Promise<string> =>
    String((await exchange(over, seconds)).json['access_token'])
  const grant = async (bearer: string, more: object = {}): Promise<Record<string, unknown>> => {
    const answer = await here.call('POST', '/v1/grants', bearer, { target: 'prod', ...more })
    return (answer.json['grant'] ?? {}) as Record<string, unknown>
  }
  const open = (id: unknown, principal: string) =>
    here.authority.openSession({
      grant: String(id),
      principal,
      client: { version: '1', platform: 'x', command: 'exec' },
    })
  const failures = () =>
    here.log.map(({ body }) => body).filter(({ type }) => type === 'login.failed')
  return { ...here, token, exchange, access, grant, open, failures }
}

describe('the exchange', () => {
  it('finds the provider by issuer, or takes the one named; the answer never outlives the token', async () => {
    const { call, token, exchange, clock } = await rig()
    const found = await exchange({}, 120)
    expect(found).toMatchObject({
      status: 200,
      json: { principal: { kind: 'workload', provider: 'ci' } },
    })
    expect(Date.parse(String(found.json['expires_at']))).toBe(clock.at + 120_000)
    for (const body of [
      { provider: 'ci', token: await token() },
      { provider: 'ci', id_token: await token() },
    ]) {
      expect((await call('POST', '/v1/token', undefined, body)).status).toBe(200)
    }
  })

  it.each<[string, Record<string, unknown>, string, string, Record<string, unknown>]>([
    [
      'another issuer',
      { iss: `${CI}/` },
      'VGATE_TOKEN_INVALID',
      'its issuer is not configured',
      { verified: false, issuer: `${CI}/` },
    ],
    [
      'another audience',
      { aud: 'x' },
      'VGATE_TOKEN_INVALID',
      'its "aud" claim',
      { verified: false, audiences: ['x'] },
    ],
    [
      'an end',
      { exp: 1 },
      'VGATE_TOKEN_EXPIRED',
      'has expired',
      { verified: false, subject: 'job' },
    ],
    [
      'other claims',
      { env: 'dev' },
      'VGATE_DENIED',
      'no rule matches',
      { verified: true, claims: { env: 'dev' } },
    ],
    [
      'a rule that has ended',
      { env: 'old' },
      'VGATE_DENIED',
      'has ended',
      { verified: true, rule: 'access[2]', owner: 'corp:ana' },
    ],
  ])('refuses %s: the job learns the check, the log the rest', async (_what, over, code, message, claimed) => {
    const { exchange, failures, store } = await rig()
    const answer = await exchange(over)
    expect(answer.json['error']).toMatchObject({ code, message: expect.stringContaining(message) })
    expect(answer.text).not.toContain('corp:ana')
    expect(answer.text).not.toContain('access[')
    expect(failures()).toMatchObject([{ code, claimed }])
    const { principalId } = await import('../../../src/core/principal.js')
    expect(await store.findPrincipal(principalId(CI, 'job'))).toBeUndefined()
  })

  it('never makes a person of a workload, nor an administrator', async () => {
    const { call, token, access } = await rig()
    const asPerson = await call('POST', '/v1/token', undefined, {
      provider: 'corp',
      id_token: await token(),
    })
    expect(asPerson.status).toBe(401)
    const who = await call(
      'GET',
      '/v1/whoami',
      await access({ groups: ['platform', 'corp:platform'] }),
    )
    expect(who.json).toMatchObject({ administrator: false, auditor: false })
  })

  it.each([
    {},
    { token: 'a', id_token: 'b', provider: 'ci' },
    { id_token: 'a' },
    { token: 7 },
    { provider: 'nobody', token: 'a.b.c' },
  ])('refuses the body %j', async (body) => {
    expect((await (await rig()).call('POST', '/v1/token', undefined, body)).status).toBe(400)
  })
})

describe('a grant', () => {
  it('ends with the token, or at grant.max where fresh ones come', async () => {
    const { access, grant, clock } = await rig()
    const ends = async (more: object): Promise<number> =>
      Date.parse(String((await grant(await access(), more))['ends_at'])) - clock.at
    expect(await ends({})).toBe(600_000)
    expect(await ends({ ttl_seconds: 60 })).toBe(60_000)
    expect(await ends({ fresh_tokens: true })).toBe(2 * HOUR)
  })

  it('goes on while fresh tokens are shown, and not beyond the last of them', async () => {
    const { access, grant, open, call, authority, advance, clock } = await rig()
    const given = await grant(await access(), { fresh_tokens: true })
    const { session, principal, leaseUntil } = await open(
      given['id'],
      (await import('../../../src/core/principal.js')).principalId(CI, 'job'),
    )
    expect(principal).toMatchObject({ kind: 'workload', claims: { env: 'prod' } })
    expect(leaseUntil).toBe(clock.at + 5000)
    const ends: unknown[] = []
    authority.watch(session, (notice) => ends.push(notice))
    advance(500_000)
    const renew = `/v1/grants/${String(given['id'])}/renew`
    expect((await call('POST', renew, await access({}, 600), {})).status).toBe(200)
    advance(200_000)
    await new Promise((resolve) => setImmediate(resolve))
    expect(ends).toEqual([])
    expect((await authority.renewLease(session)).leaseUntil).toBe(clock.at + 5000)
    advance(400_000)
    await expect(authority.renewLease(session)).rejects.toMatchObject({ code: 'VGATE_GRANT_ENDED' })
    expect(ends).toMatchObject([
      { kind: 'ended', reason: 'expired', message: 'the identity token of this job has ended' },
    ])
    expect((await call('POST', renew, await access(), {})).json['error']).toMatchObject({
      code: 'VGATE_GRANT_ENDED',
    })
  })

  it('is not renewed by a job of the same subject with other claims, by another subject, or by a person', async () => {
    const { access, grant, call, login, policy } = await rig()
    const given = await grant(await access(), { fresh_tokens: true })
    policy.current = policyOf(POLICY.replace('env: old', 'env: dev').replace('2026', '2098'), [
      { name: 'ci', issuer: CI },
    ])
    const renew = async (bearer: string) =>
      (await call('POST', `/v1/grants/${String(given['id'])}/renew`, bearer, {})).json['error']
    expect(await renew(await access({ env: 'dev' }))).toMatchObject({ code: 'VGATE_DENIED' })
    expect(await renew(await access({ sub: 'other' }))).toMatchObject({ code: 'VGATE_NOT_FOUND' })
    expect(await renew(await login('ana', ['data']))).toMatchObject({ code: 'VGATE_NOT_FOUND' })
  })

  it('keeps the claims that it was given for, whatever another job of its subject logs in with', async () => {
    const { access, grant, open, policy } = await rig()
    policy.current = policyOf(POLICY.replace('env: old', 'env: dev').replace('2026', '2098'), [
      { name: 'ci', issuer: CI },
    ])
    const given = await grant(await access())
    await access({ env: 'dev' })
    const { principalId } = await import('../../../src/core/principal.js')
    expect((await open(given['id'], principalId(CI, 'job'))).principal.claims).toMatchObject({
      env: 'prod',
    })
  })

  it('never goes beyond its rule’s end, and a live one ends when that is moved', async () => {
    const { access, grant, open, policy, clock, authority } = await rig()
    const until = new Date(clock.at + 60_000).toISOString().replace('.000Z', 'Z')
    policy.current = policyOf(POLICY.replace('2099-01-01', until), [{ name: 'ci', issuer: CI }])
    const bearer = await access()
    const short = await grant(bearer)
    expect(Date.parse(String(short['ends_at']))).toBe(clock.at + 60_000)
    policy.current = policyOf(POLICY, [{ name: 'ci', issuer: CI }])
    const { principalId } = await import('../../../src/core/principal.js')
    const { session } = await open((await grant(bearer))['id'], principalId(CI, 'job'))
    policy.current = policyOf(POLICY.replace('2099-01-01', until), [{ name: 'ci', issuer: CI }])
    clock.at += 61_000
    await expect(authority.renewLease(session)).rejects.toMatchObject({ code: 'VGATE_REVOKED' })
  })
})

it('discovery tells issuers and audiences', async () => {
  const { call } = await rig()
  expect((await call('GET', '/.well-known/vgate')).json['workloads']).toEqual([
    { name: 'ci', issuer: CI, audience: 'vgate-ci' },
  ])
})
