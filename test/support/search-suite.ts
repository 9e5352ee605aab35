// Owns what searches over the index must do on every database of the store: combined filters, pages, hostile words, and
// nothing of other people.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Touch, Use } from '../../src/audit/session-facts.js'
import { principalId } from '../../src/core/principal.js'
import type { SessionSearch } from '../../src/store/session-search.js'
import type { Store } from '../../src/store/store.js'

const issuer = 'https://id.example.com'
const idOf = (name: string): string => principalId(issuer, name)

export interface SearchWorld {
  readonly store: Store
  readonly clock: { at: number }
  readonly done: () => Promise<void>
}
/** The tests, over a store that is empty and whose clock stands at 1,000,000. */
export function searchBehaviour(open: () => Promise<SearchWorld>): void {
  let world: SearchWorld
  let store: Store
  let clock: { at: number }

  const use = (collection: string, operation: string, decision = 'permit'): Use => ({
    collection,
    operation,
    decision,
    count: 2,
  })
  const touch = (key: string | undefined, more: Partial<Touch> = {}): Touch => ({
    record: 3,
    at: clock.at,
    collection: 'docs',
    action: 'insert',
    outcome: 'done',
    ...(key === undefined ? {} : { key }),
    ...more,
  })

  async function session(
    id: string,
    name: string,
    given: { target?: string; uses?: Use[]; texts?: string[]; touches?: Touch[]; open?: Touch[] },
  ): Promise<void> {
    clock.at += 1000
    const { target = 'prod', uses = [], texts = [], touches = [], open = [] } = given
    const principal = {
      ...{ id: idOf(name), kind: 'person' as const, provider: 'corp', issuer, subject: name },
      ...{ name: `${name}@example.com`, groups: [], claims: {} },
    }
    await store.upsertPrincipal(principal)
    const grant = { id: `grt_${id}`, principal: principal.id, target, roles: ['reader'] }
    const whole = { ...grant, startsAt: clock.at, endsAt: clock.at + 1e9 }
    await store.createGrant(whole, 'hash')
    const client = { version: '1', platform: 'linux', command: 'connect' }
    await store.openSession({
      id,
      grant: whole,
      principal,
      database: 'pgvector',
      client,
      maxOpen: 99,
    })
    const indexed = await store.indexSession(id)
    if (indexed === undefined) throw new Error('no session')
    await store.addTouches(indexed, touches)
    await store.finishIndex(indexed, {
      state: 'done',
      records: 9,
      open,
      uses,
      texts,
      textCut: false,
    })
  }

  beforeAll(async () => {
    world = await open()
    store = world.store
    clock = world.clock
    await session('ses_1', 'ana', {
      uses: [use('docs', 'search'), use('notes', 'delete', 'deny')],
      texts: ['SELECT title FROM docs', 'Müller & Söhne'],
      touches: [touch('42'), touch('x'.repeat(5000))],
    })
    await session('ses_2', 'bob', {
      uses: [use('docs', 'delete'), use('', 'unknown', 'deny')],
      texts: ['DELETE FROM docs WHERE id = 42', 'annual report'],
      touches: [touch('42', { action: 'delete', request: 'req_1', rows: 1 })],
    })
    await session('ses_3', 'ana', {
      target: 'other',
      uses: [use('docs', 'delete_by_filter', 'hold'), use('docs', 'delete_by_filter')],
      texts: ['report of the year, annual'],
      touches: [touch(undefined, { action: 'delete_by_filter', predicate: "year < '2020'" })],
      open: [touch('42', { record: 7, outcome: 'running', collection: 'notes' })],
    })
  })
  afterAll(async () => {
    await world?.done()
  })

  const ids = async (search: Partial<SessionSearch>): Promise<string[]> =>
    (await store.searchSessions({ limit: 10, ...search })).map((one) => one.id)

  describe('sessions', () => {
    it.each<[Partial<SessionSearch>, string[]]>([
      [{}, ['ses_3', 'ses_2', 'ses_1']],
      [{ person: 'ana@example.com' }, ['ses_3', 'ses_1']],
      [{ person: 'ANA@Example.com' }, ['ses_3', 'ses_1']],
      [{ person: idOf('bob') }, ['ses_2']],
      [{ person: 'nobody' }, []],
      [{ target: 'other' }, ['ses_3']],
      [{ collection: 'docs' }, ['ses_3', 'ses_2', 'ses_1']],
      [{ collection: 'public.docs', operation: 'delete' }, ['ses_2']],
      [{ operation: 'delete' }, ['ses_2', 'ses_1']],
      [{ decision: 'deny' }, ['ses_2', 'ses_1']],
      // One use must be all of it: ana was denied, but not on docs.
      [{ collection: 'docs', decision: 'deny' }, []],
      [{ collection: 'docs', decision: 'hold', person: 'ana@example.com' }, ['ses_3']],
      [{ collection: 'docs', decision: 'hold', target: 'prod' }, []],
      [{ key: '42' }, ['ses_3', 'ses_2', 'ses_1']],
      [{ key: '42', collection: 'notes' }, []],
      [{ key: '42', collection: 'docs' }, ['ses_2', 'ses_1']],
      [{ key: '42', person: 'ana@example.com', target: 'prod' }, ['ses_1']],
      [{ key: 'x'.repeat(5000) }, ['ses_1']],
      [{ key: '4%' }, []],
      [{ text: 'report' }, ['ses_3', 'ses_2']],
      [{ text: 'annual   REPORT' }, ['ses_3', 'ses_2']],
      [{ text: 'report', person: 'bob@example.com' }, ['ses_2']],
      [{ text: 'muller sohne' }, ['ses_1']],
      [{ text: 'docs', collection: 'docs', operation: 'search' }, ['ses_1']],
      [{ since: 1_002_000 }, ['ses_3', 'ses_2']],
      [{ until: 1_002_000 }, ['ses_1']],
      [{ since: 1_002_000, until: 1_003_000, collection: 'docs' }, ['ses_2']],
      [{ since: 1_003_000, key: '42' }, ['ses_3']],
    ])('%j', async (search, wanted) => {
      expect(await ids(search)).toEqual(wanted)
    })

    it('come in pages', async () => {
      for (const filter of [{}, { collection: 'docs' }, { key: '42' }]) {
        const seen: string[] = []
        let page = await store.searchSessions({ ...filter, limit: 1 })
        for (
          ;
          page[0] !== undefined;
          page = await store.searchSessions({ ...filter, limit: 1, before: page[0] })
        )
          seen.push(page[0].id)
        expect(seen).toEqual(['ses_3', 'ses_2', 'ses_1'])
      }
    })

    it.each([
      ['OR'],
      ['docs OR report'],
      ['report NOT annual'],
      ['NEAR(annual report)'],
      ['marks:a'],
      ['words : docs'],
      ['"'],
      ['docs" OR "report'],
      ['rep*'],
      ["'); DROP TABLE sessions; --"],
      ['%'],
      ['_'],
      ['a & !b | c <-> d'],
      ["'x':A"],
      ['\0'],
      ['\ud800'],
      ['('.repeat(400)],
      ['a '.repeat(250)],
    ])('take %j for words and nothing else', async (text) => {
      expect(await ids({ text })).toEqual([])
    })

    it('are one’s own, whatever is asked', async () => {
      const principal = idOf('ana')
      expect(await ids({ principal })).toEqual(['ses_3', 'ses_1'])
      expect(await ids({ principal, person: 'bob@example.com' })).toEqual([])
      expect(await ids({ principal, operation: 'delete' })).toEqual(['ses_1'])
      expect(await ids({ principal, key: '42' })).toEqual(['ses_3', 'ses_1'])
      expect(await ids({ principal, key: '42', limit: 1 })).toEqual(['ses_3'])
      expect(await ids({ principal, text: 'report' })).toEqual(['ses_3'])
    })

    it('are never more than the most', async () => {
      for (const limit of [1e9, 1.5, 0, -3]) {
        const found = await ids({ collection: 'docs', limit })
        expect(found.length).toBeLessThanOrEqual(3)
        expect(found.length).toBeGreaterThanOrEqual(1)
      }
    })
  })

  describe('a key', () => {
    const search = { collection: 'docs', key: '42', limit: 10 }
    it('is told with who, when, how it ended and under which approval', async () => {
      const { found, more } = await store.searchKey(search)
      expect(more).toBe(false)
      expect(found.map((one) => one.session)).toEqual(['ses_2', 'ses_1'])
      expect(found[0]).toMatchObject({
        principal: idOf('bob'),
        principalName: 'bob@example.com',
        action: 'delete',
        outcome: 'done',
        request: 'req_1',
        rows: 1,
        record: 3,
      })
      expect((await store.searchKey({ ...search, limit: 1 })).more).toBe(true)
      expect((await store.searchKey({ ...search, target: 'other' })).found).toEqual([])
      expect((await store.searchKey({ ...search, principal: idOf('ana') })).found).toHaveLength(1)
    })

    it('may have been touched by what names none', async () => {
      const { found } = await store.searchUnnamed(search)
      expect(found).toHaveLength(1)
      expect(found[0]).toMatchObject({ session: 'ses_3', predicate: "year < '2020'" })
      expect((await store.searchUnnamed({ ...search, principal: idOf('bob') })).found).toEqual([])
    })
  })

  describe('the index', () => {
    it('is the same however often it is written, and drops what is not certain any more', async () => {
      const indexed = await store.indexSession('ses_3')
      if (indexed === undefined) throw new Error('no session')
      expect(indexed).toMatchObject({ state: 'done', records: 9 })
      await store.addTouches(indexed, [touch('42', { record: 7, collection: 'notes' })])
      const facts = { state: 'done' as const, records: 12, open: [], textCut: false }
      for (let again = 0; again < 2; again += 1)
        await store.finishIndex(indexed, {
          ...facts,
          uses: [use('docs', 'delete_by_filter', 'hold'), use('docs', 'delete_by_filter')],
          texts: ['report of the year, annual'],
        })
      const { found } = await store.searchKey({ collection: 'notes', key: '42', limit: 9 })
      expect(found.map((one) => one.outcome)).toEqual(['done'])
      expect(await ids({ text: 'report' })).toEqual(['ses_3', 'ses_2'])
      expect(await store.sessionUses('ses_3')).toEqual([
        use('docs', 'delete_by_filter', 'hold'),
        use('docs', 'delete_by_filter'),
      ])
    })

    it('tells what it does not hold, and to whom it belongs', async () => {
      await session('ses_4', 'ana', { texts: ['secret plan'], touches: [touch('9')] })
      const indexed = await store.indexSession('ses_4')
      if (indexed === undefined) throw new Error('no session')
      await store.dropIndexed(indexed, 'tampered', 'the hash of the block is wrong')
      expect(await ids({ text: 'plan' })).toEqual([])
      expect((await store.searchKey({ collection: 'docs', key: '9', limit: 9 })).found).toEqual([])
      expect(await store.indexGaps(undefined)).toEqual({
        count: 1,
        some: [{ session: 'ses_4', state: 'tampered' }],
      })
      expect((await store.indexGaps(idOf('bob'))).count).toBe(0)
    })

    it('tells apart sessions that begin in one millisecond', async () => {
      const before = clock.at
      for (const id of ['ses_5', 'ses_6', 'ses_7']) {
        clock.at = before
        await session(id, 'eve', { uses: [use('docs', 'count')] })
      }
      expect((await ids({ operation: 'count' })).sort()).toEqual(['ses_5', 'ses_6', 'ses_7'])
    })

    it('is made anew after it was emptied', async () => {
      await store.clearIndex()
      expect(await ids({ collection: 'docs' })).toEqual([])
      expect(await ids({ person: 'bob@example.com' })).toEqual(['ses_2'])
    })
  })
}
