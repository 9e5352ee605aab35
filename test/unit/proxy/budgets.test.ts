// Owns the proof that budgets outlive sessions and gateways: what was taken stays taken, and what a dead gateway held
// counts as taken.

import { describe, expect, it } from 'vitest'
import type { Delivery, JudgeRequest } from '../../../src/core/adapter.js'
import type { Authority } from '../../../src/core/authority.js'
import { type Ask, Budgets, type Grant, type Sized } from '../../../src/proxy/budgets.js'
import { SessionBudgets } from '../../../src/proxy/session-budgets.js'
import type { Standing } from '../../../src/proxy/standing.js'
import type { Store } from '../../../src/store/store.js'
import { ana, freshLibsql } from '../../support/store-suite.js'
import { compile } from '../policy/fixture.js'

const OWNER = { principal: ana.id, target: 'prod' }
const claim: Sized = {
  ...{ rule: 'roles.reader.budget[0]', kind: 'rows', counter: 'rows' },
  ...{ limit: 100, perMs: 3_600_000, fixed: 0, perRow: 1 },
}
const reads = (rows: number): Ask => ({ claims: [claim], rows, flexible: false, open: false })
const open: Ask = { claims: [claim], rows: Number.POSITIVE_INFINITY, flexible: true, open: true }

/** The budgets of one process over a store, and a session of the owner. */
function processOver(store: Store, name: string) {
  const authority: Pick<Authority, 'leaseBudget'> = {
    leaseBudget: ({ session: _, settle, ...lease }) =>
      store.leaseBudget({ ...lease, ...OWNER }, { grow: settle === undefined }),
  }
  const budgets = new Budgets(authority as Authority, () => undefined)
  budgets.join(OWNER, name)
  const reserve = async (ask: Ask): Promise<Grant> => {
    const [grant] = await budgets.reserve(OWNER, [ask])
    if (grant === undefined) throw new Error('a grant')
    return grant
  }
  return { budgets, reserve }
}

it('are kept over sessions, a clean stop and a crash', async () => {
  const { store, reopen } = await freshLibsql()
  await store.upsertPrincipal(ana)
  const first = processOver(store, 'ses_1')
  ;(await first.reserve(reads(30))).settle(20)
  await first.budgets.leave(OWNER, 'ses_1')
  first.budgets.join(OWNER, 'ses_2')
  ;(await first.reserve(reads(10))).settle(10)
  await first.budgets.leave(OWNER, 'ses_2')
  first.budgets.close()

  const again = await reopen()
  await again.foldBudgets()
  const second = processOver(again, 'ses_3')
  const left = await second.reserve(open)
  expect(left.limit).toMatchObject({ rows: 70, because: 'limit', rule: 'roles.reader.budget[0]' })
  left.settle(5)
  await second.reserve(reads(8))
  // Eight are in use, five were never said, and a chunk was leased ahead when the process dies.
  second.budgets.close()

  await again.close()
  const last = await reopen()
  await last.foldBudgets()
  const third = processOver(last, 'ses_4')
  await expect(third.reserve(reads(71))).rejects.toMatchObject({ code: 'VGATE_LIMIT_EXCEEDED' })
  // What a read without a bound held is lost with its gateway.
  await expect(third.reserve(reads(1))).rejects.toThrow('allows 100 rows in 60 min: 0 are left')
  third.budgets.close()
})

describe('a read that is not finished', () => {
  const policy = compile(`
roles: { reader: { allow: [{ access: read, collections: [docs] }], budget: [{ collections: [docs], rows: 100, per: 1h }] } }
access: [{ who: { group: team }, role: reader, targets: ["*"] }]
`)
  const standing = {
    policy,
    principal: ana,
    target: { name: 'prod' },
    grant: { roles: ['reader'] },
  } as unknown as Standing
  const use = { collection: 'docs', access: 'read', action: 'scroll', effect: { kind: 'none' } }
  const request = {
    phase: 'execute',
    operations: [
      {
        ...{ name: 'scroll', access: 'read', collections: [use], fields: [], risks: [] },
        ...{ functions: [], text: '', returns: { rows: 'unbounded', outputs: [] } },
      },
    ],
    text: '',
    form: 'simple',
  } as unknown as JudgeRequest
  const given = (rowCount: number): Delivery => ({
    ...{ request: 1, index: 0, rowCount, bytes: 0, masked: 0, done: false },
  })
  const obligations = [{ masks: [], record: 'text' as const }]

  const session = async () => {
    const { store } = await freshLibsql()
    await store.upsertPrincipal(ana)
    const { budgets } = processOver(store, 'ses_1')
    const none = { known: () => undefined, load: () => Promise.reject(new Error('no sizes')) }
    const of = new SessionBudgets({ session: 'ses_1', owner: OWNER, budgets, ...none })
    let asked = 100
    /** What a read without a bound would be given now. */
    const left = async (): Promise<number | undefined> => {
      asked += 1
      const found = await of.port('con_x').reserve(asked, standing, request, obligations)
      of.port('con_x').notRun(asked)
      return found?.[0]?.rowLimit?.rows
    }
    return { of, left, budgets }
  }

  it('takes what was given of it, when its connection or its session is over', async () => {
    const { of, left, budgets } = await session()
    const first = of.port('con_1').reserve(1, standing, request, obligations)
    expect((await first)?.[0]?.rowLimit?.rows).toBe(100)
    of.delivered('con_1', given(20))
    of.delivered('con_1', given(5))
    of.gone('con_1')
    expect(await left()).toBe(75)
    await of.port('con_2').reserve(1, standing, request, obligations)
    of.delivered('con_2', given(10))
    await of.end()
    budgets.join(OWNER, 'ses_2')
    expect(await left()).toBe(65)
    budgets.close()
  })

  it('takes nothing when it was not forwarded, or nobody was left when its turn came', async () => {
    const { of, left, budgets } = await session()
    await of.port('con_1').reserve(1, standing, request, obligations)
    of.port('con_1').notRun(1)
    const late = of.port('con_2').reserve(2, standing, request, obligations)
    of.gone('con_2')
    await expect(late).rejects.toMatchObject({ code: 'VGATE_CANCELLED' })
    expect(await left()).toBe(100)
    budgets.close()
  })
})
