// Requests to a second person: who may answer, how many, once, and what a restart and time do to them.

import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createRequests } from '../../../src/control/requests.js'
import type { ApprovalTerms } from '../../../src/core/approval.js'
import { VgateError } from '../../../src/core/errors.js'
import { type Principal, principalId } from '../../../src/core/principal.js'
import { setup } from './control-fixture.js'

const person = (name: string, groups: string[], kind: Principal['kind'] = 'person'): Principal => ({
  id: principalId('https://id.test', name),
  kind,
  provider: 'corp',
  issuer: 'https://id.test',
  subject: name,
  name,
  groups,
  claims: {},
})
const ALICE = person('alice', ['corp:owners', 'corp:platform'])
const BOB = person('bob', ['corp:owners', 'corp:legal'])
const CAROL = person('carol', ['corp:owners'])
const ROBOT = person('robot', ['corp:owners'], 'workload')
const TERM: ApprovalTerms = {
  rule: 'holds.big',
  by: ['corp:owners'],
  count: 1,
  expiresMs: 900_000,
  inTransactionMs: 20_000,
}

let here: Awaited<ReturnType<typeof setup>>
beforeEach(async () => {
  here = await setup()
  for (const one of [ALICE, BOB, CAROL, ROBOT]) await here.store.upsertPrincipal(one)
})

const open = (digest = 'a'.repeat(64), terms: readonly ApprovalTerms[] = [TERM]) =>
  here.requests.open({
    body: {
      kind: 'operation',
      operation: {
        name: 'delete',
        text: 'DELETE',
        collections: [],
        risks: [],
        reason: '',
        preview: [],
      },
    },
    principal: ALICE,
    target: 'prod',
    roles: ['writer'],
    digest,
    terms,
  })
const consume = (id: string, digest = 'a'.repeat(64), principal = ALICE.id, target = 'prod') =>
  here.requests.consume({ id, principal, target, digest })
const stateOf = async (id: string) => (await here.requests.find(id))?.state

describe('requests', () => {
  it('is one request for one question, and another for a byte more', async () => {
    const first = await open()
    expect((await open()).request).toBe(first.request)
    expect((await open('b'.repeat(64))).request).not.toBe(first.request)
    expect(here.log.map(({ body }) => body.type)).toEqual(['request.opened', 'request.opened'])
  })

  it('is never answered by its requester, nor by workloads, nor by strangers', async () => {
    const { request } = await open()
    await expect(here.requests.approve(ALICE, request, {})).rejects.toMatchObject({
      code: 'VGATE_DENIED',
      message: 'nobody answers their own request',
    })
    for (const one of [ROBOT, person('dan', ['corp:platform'])])
      await expect(here.requests.approve(one, request, {})).rejects.toMatchObject({
        code: 'VGATE_DENIED',
        message: 'you are not among those who may answer this request',
      })
    expect(await stateOf(request)).toBe('open')
  })

  it('counts people and not groups, and asks every rule', async () => {
    const both = { ...TERM, by: ['corp:owners', 'corp:legal'], count: 2 }
    const { request } = await open('a'.repeat(64), [
      both,
      { ...TERM, rule: 'holds.legal', by: ['corp:legal'] },
    ])
    await here.requests.approve(BOB, request, {})
    expect(await stateOf(request)).toBe('open')
    await expect(here.requests.approve(BOB, request, {})).rejects.toMatchObject({
      message: 'you have answered this request before',
    })
    await here.requests.approve(CAROL, request, {})
    expect(await stateOf(request)).toBe('approved')
  })

  it('approve-006, approve-009: is never approved for longer than was asked, nor once it is over', async () => {
    const { request } = await open()
    await expect(here.requests.approve(BOB, request, { ttlMs: 900_001 })).rejects.toMatchObject({
      code: 'VGATE_USAGE',
      message: 'an approval may shorten the time, not lengthen it',
    })
    expect(await stateOf(request)).toBe('open')
    await here.requests.approve(BOB, request, { ttlMs: 900_000 })
    const again = (): Promise<void> => here.requests.approve(CAROL, request, {})
    await expect(again()).rejects.toMatchObject({ message: 'the request is approved already' })
    await consume(request)
    await expect(again()).rejects.toMatchObject({ message: 'the request is consumed already' })
    const denied = await open('b'.repeat(64))
    await here.requests.deny(BOB, denied.request, 'no')
    await expect(here.requests.approve(CAROL, denied.request, {})).rejects.toMatchObject({
      message: 'the request is denied already',
    })
  })

  it('lets a denial stand whose end the store could not write', async () => {
    const { request } = await open()
    const down = new VgateError('VGATE_STORE_UNAVAILABLE', 'the store is gone for a moment')
    const move = vi.spyOn(here.store, 'moveRequest').mockRejectedValueOnce(down)
    await expect(here.requests.deny(BOB, request, 'no')).rejects.toBe(down)
    move.mockRestore()
    await expect(here.requests.approve(CAROL, request, {})).rejects.toMatchObject({
      message: 'the request is denied already',
    })
    expect(await stateOf(request)).toBe('denied')
    expect(await consume(request)).toBe(false)
  })

  it('lets whoever denied it deny again where the store failed between', async () => {
    const { request } = await open()
    const down = new VgateError('VGATE_STORE_UNAVAILABLE', 'the store is gone for a moment')
    const move = vi.spyOn(here.store, 'moveRequest').mockRejectedValueOnce(down)
    await expect(here.requests.deny(BOB, request, 'no')).rejects.toBe(down)
    move.mockRestore()
    await here.requests.deny(BOB, request, 'no')
    expect(await stateOf(request)).toBe('denied')
  })

  it('lets exactly one of a hundred use it up, and only what was asked', async () => {
    const { request } = await open()
    expect(await consume(request)).toBe(false)
    await here.requests.approve(BOB, request, {})
    expect(await consume(request, 'b'.repeat(64))).toBe(false)
    expect(await consume(request, 'a'.repeat(64), CAROL.id)).toBe(false)
    expect(await consume(request, 'a'.repeat(64), ALICE.id, 'other')).toBe(false)
    const all = await Promise.all(Array.from({ length: 100 }, () => consume(request)))
    expect(all.filter(Boolean)).toHaveLength(1)
    expect(here.log.filter(({ body }) => body.type === 'request.consumed')).toHaveLength(1)
  })

  it('runs at most once in a race of approvals, denials, voids and releases', async () => {
    for (let round = 0; round < 10; round += 1) {
      const digest = String(round).repeat(64)
      const { request } = await open(digest)
      const answers = Array.from({ length: 25 }, (_, at) => [
        here.requests.approve(at % 2 === 0 ? BOB : CAROL, request, {}),
        here.requests.deny(CAROL, request, 'no'),
        here.requests.void(request, 'changed'),
      ]).flat()
      const runs = Array.from({ length: 100 }, () => consume(request, digest))
      const [, taken] = await Promise.all([Promise.allSettled(answers), Promise.all(runs)])
      const late = await Promise.all(Array.from({ length: 10 }, () => consume(request, digest)))
      expect([...taken, ...late].filter(Boolean).length).toBeLessThanOrEqual(1)
      expect(['consumed', 'denied', 'voided', 'approved']).toContain(await stateOf(request))
    }
  })

  it('expires unanswered, and an approval expires unused', async () => {
    const { request } = await open()
    here.advance(899_999)
    await here.requests.approve(BOB, request, { ttlMs: 60_000 })
    here.advance(60_000)
    expect(await consume(request)).toBe(false)
    expect(await stateOf(request)).toBe('expired')
    const second = await open()
    expect(second.request).not.toBe(request)
    here.advance(900_000)
    await expect(here.requests.approve(BOB, second.request, {})).rejects.toMatchObject({
      code: 'VGATE_APPROVAL_EXPIRED',
    })
    expect(here.log.filter(({ body }) => body.type === 'request.expired')).toHaveLength(2)
  })

  it('survives a restart, and a run that a crash cut has an unknown outcome', async () => {
    const { request } = await open()
    const later = createRequests({
      config: { publicUrl: 'https://vgate.example.com' } as never,
      store: here.store,
      audit: here.audit,
      clock: here.clock,
      schedule: () => () => undefined,
    })
    await later.resume()
    await later.approve(BOB, request, {})
    expect(await consume(request)).toBe(true)
    await later.resume()
    expect((await later.find(request))?.outcome).toBe('unknown')
    await later.outcome(request, 'done', undefined)
    expect((await later.find(request))?.outcome).toBe('unknown')
  })

  it('opens nothing that the audit log cannot take', async () => {
    const { request } = await open()
    here.audit.broken = true
    await expect(here.requests.approve(BOB, request, {})).rejects.toMatchObject({
      code: 'VGATE_RECORDING_UNAVAILABLE',
    })
    expect(await stateOf(request)).toBe('open')
  })
})

describe('the API of requests', () => {
  it('shows a request to those who may answer it and to nobody else', async () => {
    const { request } = await open()
    const dan = await here.login('dan', ['other'])
    expect((await here.call('GET', `/v1/requests/${request}`, dan)).status).toBe(404)
    expect((await here.call('GET', '/v1/requests', dan)).json['requests']).toEqual([])
    expect((await here.call('POST', `/v1/requests/${request}/approve`, dan, {})).status).toBe(404)
    const eve = await here.login('eve', ['owners'])
    const seen = await here.call('GET', `/v1/requests/${request}`, eve)
    expect(seen.json['request']).toMatchObject({ id: request, state: 'open', kind: 'operation' })
    const answered = await here.call('POST', `/v1/requests/${request}/deny`, eve, { reason: 'no' })
    expect(answered.json['request']).toMatchObject({ state: 'denied' })
  })

  it('approve-004: is not answered by a GET, a form or another origin', async () => {
    const { request } = await open()
    const eve = await here.login('eve', ['owners'])
    const path = `/v1/requests/${request}/approve`
    const bearer = { authorization: `Bearer ${eve}` }
    const json = { 'content-type': 'application/json' }
    const origin = { origin: 'https://evil.example', cookie: `session=${eve}` }
    for (const [method, init] of [
      ['GET', { headers: bearer }],
      ['GET', { headers: origin }],
      ['POST', { headers: { ...json, ...origin }, body: '{}' }],
      ['POST', { headers: { ...json, ...bearer, ...origin }, body: '{}' }],
      ['POST', { headers: { ...bearer, 'content-type': 'text/plain' }, body: '{}' }],
    ] as const)
      expect((await here.send(method, path, init)).status).toBeGreaterThanOrEqual(400)
    expect(await stateOf(request)).toBe('open')
    expect((await here.call('POST', path, eve, {})).status).toBe(200)
  })

  it('gives the same page for every id, and no page for anything else', async () => {
    const { request } = await open()
    const page = await here.call('GET', `/r/${request}`)
    expect(page.text).toContain(`vgate approve ${request}`)
    expect(page.text).not.toContain('alice')
    const other = `req_${'0'.repeat(20)}`
    const unknown = await here.call('GET', `/r/${other}`)
    expect(unknown.text.replaceAll(other, request)).toBe(page.text)
    expect((await here.call('GET', '/r/%3Cscript%3E')).status).toBe(404)
  })

  it('lets only administrators take access away from others', async () => {
    const dan = await here.login('dan', ['data'])
    const issued = await here.call('POST', '/v1/grants', dan, { target: 'prod' })
    const grant = (issued.json['grant'] as { id: string }).id
    const eve = await here.login('eve', ['data'])
    expect((await here.call('POST', '/v1/revoke', eve, { grant })).status).toBe(404)
    expect(
      (await here.call('POST', '/v1/revoke', eve, { principal: 'dan@example.com' })).status,
    ).toBe(403)
    const root = await here.login('root', ['platform'])
    const revoked = await here.call('POST', '/v1/revoke', root, { grant, reason: 'left' })
    expect(revoked.json).toMatchObject({ grants: [grant] })
    expect((await here.store.findGrant(grant))?.revoked).toMatchObject({ reason: 'left' })
    expect(
      (await here.call('POST', '/v1/revoke', root, { principal: 'dan@example.com' })).status,
    ).toBe(200)
    expect((await here.call('GET', '/v1/targets', dan)).status).toBe(401)
  })
})
