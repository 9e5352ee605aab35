// Owns the races of every kind of store: a hundred callers at once, of whom at most one may win. Seeded, and without a
// clock but its own.

import { describe, expect, it } from 'vitest'
import { createRequests, type Requests } from '../../src/control/requests.js'
import type { ApprovalTerms } from '../../src/core/approval.js'
import type { Principal } from '../../src/core/principal.js'
import type { NewRequest, Store } from '../../src/store/store.js'
import {
  ana,
  client,
  type FreshStore,
  grantOf,
  type OpenedStore,
  person,
  summary,
  withGrant,
} from './store-suite.js'

const CALLERS = 100
const DIGEST = 'd'.repeat(64)
const approvers = Array.from({ length: CALLERS }, (_, index) => person(`approver${index}`))

const atOnce = <T>(call: (index: number) => Promise<T>, callers = CALLERS): Promise<T[]> =>
  Promise.all(Array.from({ length: callers }, (_, index) => call(index)))
const winners = (results: readonly boolean[]): number => results.filter((won) => won).length

function requestOf(id: string, digest = DIGEST, expiresAt = 2_000_000): NewRequest {
  const { id: principal, name, provider } = ana
  const texts = { roles: '["writer"]', digest, terms: '[]', body: '{}' }
  const none = { reason: null, ticket: null, session: null }
  const whose = { principal, principal_name: name, provider, target: 'prod' }
  return { id, kind: 'operation', ...whose, ...texts, ...none, expires_at: expiresAt }
}

const consume = (store: Store, id: string, digest = DIGEST): Promise<boolean> =>
  store.consumeRequest({ id, principal: ana.id, target: 'prod', digest })

async function approved(fresh: FreshStore): Promise<OpenedStore> {
  const opened = await fresh()
  await opened.store.upsertPrincipal(ana)
  await opened.store.openRequest(requestOf('req_1'))
  expect(await opened.store.moveRequest('req_1', 'open', 'approved', 1_900_000)).toBe(true)
  return opened
}

/** The control plane's requests over a store, with what they wrote to the audit log. */
async function control(fresh: FreshStore, people: readonly Principal[]) {
  const opened = await fresh()
  for (const one of [ana, ...people]) await opened.store.upsertPrincipal(one)
  const log: string[] = []
  const requests = createRequests({
    config: { publicUrl: 'https://vgate.test' } as Parameters<typeof createRequests>[0]['config'],
    store: opened.store,
    audit: {
      append: async (record) => {
        if ('request' in record) log.push(`${record.request} ${record.type}`)
      },
    },
    clock: opened.clock,
    schedule: () => () => undefined,
  })
  return { ...opened, requests, log }
}

const TERM: ApprovalTerms = {
  rule: 'holds.big',
  by: ['corp:data'],
  count: 1,
  expiresMs: 900_000,
  inTransactionMs: 20_000,
}

async function ask(requests: Requests, digest = DIGEST): Promise<string> {
  const details = { collections: [], risks: [], reason: '', preview: [] }
  const body = {
    kind: 'operation',
    operation: { name: 'delete', text: 'DELETE', ...details },
  } as const
  const asked = { body, principal: ana, target: 'prod', roles: ['writer'], digest, terms: [TERM] }
  return (await requests.open(asked)).request
}

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Registers the cases. */
export function storeRaces(fresh: FreshStore): void {
  describe('a hundred at once', () => {
    it('ask the same: one request', async () => {
      const { store } = await fresh()
      await store.upsertPrincipal(ana)
      const opened = await atOnce((index) => store.openRequest(requestOf(`req_${index}`)))
      expect(winners(opened.map(({ isNew }) => isNew))).toBe(1)
      expect(new Set(opened.map(({ record }) => record.id)).size).toBe(1)
    })

    it('approve: one approval, and it is written once', async () => {
      const { requests, log } = await control(fresh, approvers)
      const id = await ask(requests)
      const settled = await Promise.allSettled(
        approvers.map((one) => requests.approve(one, id, {})),
      )
      expect(settled.some(({ status }) => status === 'fulfilled')).toBe(true)
      expect((await requests.find(id))?.state).toBe('approved')
      expect(log.filter((line) => line === `${id} request.approved`)).toHaveLength(1)
    })

    it('are released: one run, bound to every byte', async () => {
      const { store } = await approved(fresh)
      const changed = await atOnce((index) => consume(store, 'req_1', `${index}${DIGEST}`))
      expect(winners(changed)).toBe(0)
      expect(winners(await atOnce(() => consume(store, 'req_1')))).toBe(1)
      expect(winners(await atOnce(() => consume(store, 'req_1')))).toBe(0)
      const outcomes = await atOnce(() => store.setRequestOutcome('req_1', 'done', undefined))
      expect(winners(outcomes)).toBe(1)
    })

    it('are released when the approval is over: none runs', async () => {
      const { store, clock } = await approved(fresh)
      clock.at = 1_900_000
      const [runs, expired] = await Promise.all([
        atOnce(() => consume(store, 'req_1')),
        atOnce(() => store.expireRequests()),
      ])
      expect(winners(runs)).toBe(0)
      expect(expired.flat().map(({ id }) => id)).toEqual(['req_1'])
    })

    it('expire a hundred requests: each once', async () => {
      const { store, clock } = await fresh()
      await store.upsertPrincipal(ana)
      for (let index = 0; index < CALLERS; index += 1)
        await store.openRequest(requestOf(`req_${index}`, `${index}`))
      clock.at = 2_000_000
      const expired = (await atOnce(() => store.expireRequests())).flat().map(({ id }) => id)
      expect(expired).toHaveLength(CALLERS)
      expect(new Set(expired).size).toBe(CALLERS)
    })

    it('approve, deny, void, release and expire twenty requests: what ran was approved, and ran once', async () => {
      const people = approvers.slice(0, 4)
      const { requests, store, clock, log } = await control(fresh, people)
      const random = seeded(20_261_122)
      const ids: string[] = []
      for (let index = 0; index < 20; index += 1) ids.push(await ask(requests, `${index}`))
      const runs = new Map(ids.map((id) => [id, 0]))
      const run = async (id: string, index: number): Promise<void> => {
        const digest = `${index}`
        const given = { id, principal: ana.id, target: 'prod', digest }
        if (await requests.consume(given)) runs.set(id, (runs.get(id) ?? 0) + 1)
      }
      const steps = ids.flatMap((id, index) => [
        ...people.slice(0, 3).map((by) => () => requests.approve(by, id, {})),
        () => requests.deny(people[3] as Principal, id, 'no'),
        () => requests.void(id, 'policy'),
        ...Array.from({ length: 5 }, () => () => run(id, index)),
        async () => {
          clock.at += 20_000
          await store.expireRequests()
        },
      ])
      for (let left = steps.length - 1; left > 0; left -= 1) {
        const other = Math.floor(random() * (left + 1))
        const [a, b] = [steps[left], steps[other]]
        if (a !== undefined && b !== undefined) [steps[left], steps[other]] = [b, a]
      }
      for (let from = 0; from < steps.length; from += CALLERS)
        await Promise.allSettled(steps.slice(from, from + CALLERS).map((step) => step()))
      for (const [id, ran] of runs) {
        const said = (what: string) => log.filter((line) => line === `${id} request.${what}`).length
        expect(ran).toBeLessThanOrEqual(1)
        expect(said('consumed')).toBe(ran)
        expect(said('approved')).toBeLessThanOrEqual(1)
        const state = (await store.findRequest(id))?.state
        if (ran === 1) expect([state, said('approved'), said('denied')]).toEqual(['consumed', 1, 0])
        else expect(state).not.toBe('consumed')
      }
      expect([...runs.values()].filter((ran) => ran === 1).length).toBeGreaterThan(0)
    })

    it('open sessions: as many as there may be', async () => {
      const { open, store } = await withGrant(fresh)
      // With every connection open already they are truly at once.
      await atOnce(() => store.findGrant('grt_1'))
      const results = await atOnce((index) => open(`ses_${index}`, 7))
      expect(results.filter((result) => result === 'opened')).toHaveLength(7)
      expect(results.filter((result) => result === 'too_many')).toHaveLength(CALLERS - 7)
      const [first] = await store.listSessions({ limit: 1 })
      const closed = await atOnce(() => store.closeSession(summary(first?.id ?? '')))
      expect(winners(closed)).toBe(1)
    })

    it('revoke while a hundred open: one revocation, and nothing opens after it', async () => {
      const { open, store } = await withGrant(fresh)
      const [revoked] = await Promise.all([
        atOnce(() => store.revokeGrant('grt_1', 'usr_x', 'left')),
        atOnce((index) => open(`ses_${index}`, CALLERS)),
      ])
      expect(winners(revoked)).toBe(1)
      const late = await atOnce((index) => open(`late_${index}`, 1_000))
      expect(new Set(late)).toEqual(new Set(['revoked']))
    })

    it('open sessions at the end of a grant: none', async () => {
      const { store, clock, grant } = await withGrant(fresh)
      const open = (id: string) =>
        store.openSession({ id, grant, principal: ana, database: 'd', client, maxOpen: 1_000 })
      clock.at = grant.endsAt - 1
      expect(await open('ses_in_time')).toBe('opened')
      clock.at = grant.endsAt
      expect(new Set(await atOnce((index) => open(`ses_${index}`)))).toEqual(new Set(['ended']))
      // Whenever a session began: its end is the grant's.
      expect((await store.sessionStanding('ses_in_time'))?.grantEndsAt).toBe(grant.endsAt)
      expect(winners(await atOnce(() => store.revokeGrant('grt_1', 'usr_x', 'late')))).toBe(0)
    })

    it('lease one budget: never more than its limit, and a restart takes what was held for taken', async () => {
      const { store, clock } = await fresh()
      await store.upsertPrincipal(ana)
      const lease = (holder: string, over: { seq?: number; taken?: number; hold?: number } = {}) =>
        store.leaseBudget(
          {
            ...{ principal: ana.id, target: 'prod', counter: 'rows', holder },
            ...{ seq: 1, taken: 0, keep: 0, hold: 7, limit: 100, perMs: 60_000, ...over },
          },
          { grow: true },
        )
      const granted = await atOnce((index) => lease(`holder${index}`))
      expect(granted.reduce((sum, { hold }) => sum + hold, 0)).toBe(100)
      const winner = granted.findIndex(({ hold }) => hold === 7)
      // Messages that come again, and at once, count once.
      await atOnce(() => lease(`holder${winner}`, { seq: 2, taken: 5, hold: 0 }), 10)
      expect(await lease('late')).toMatchObject({ hold: 2, taken: 5, others: 93 })
      await store.foldBudgets()
      expect(await lease('next')).toMatchObject({ hold: 0, taken: 100, others: 0 })
      clock.at += 60_000
      expect(await lease('next', { seq: 2 })).toMatchObject({ hold: 7, taken: 0 })
    })

    it('end a login: once', async () => {
      const { store } = await fresh()
      await store.upsertPrincipal(ana)
      const login = { jti: 'j', principal: ana.id, provider: 'corp', expiresAt: 1_900_000 }
      await store.recordLogin(login)
      expect(winners(await atOnce(() => store.revokeLogin('j')))).toBe(1)
    })

    it('prove one workload: never an earlier end', async () => {
      const { store } = await fresh()
      await store.upsertPrincipal(ana)
      await store.createGrant(grantOf(ana, 'grt_1'), 'hash')
      await store.recordProof('grt_1', ana, 1)
      await atOnce((index) => store.renewProof('grt_1', ana, ((index * 37) % CALLERS) + 2))
      expect((await store.findProof('grt_1'))?.until).toBe(CALLERS + 1)
    })
  })
}
