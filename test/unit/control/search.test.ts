// The routes that search: who may, what is written down first, and what is refused.

import { describe, expect, it } from 'vitest'
import {
  foundKeyBody,
  foundSessionsBody,
  sessionChangesBody,
} from '../../../src/core/api-sessions.js'
import { setup } from './control-fixture.js'

const client = { version: '1', platform: 'linux', command: 'connect' as const }

async function withSessions() {
  const base = await setup()
  const people = {
    ana: await base.login('ana', ['data']),
    bob: await base.login('bob', ['data']),
    eve: await base.login('eve', ['security']),
  }
  const session = async (token: string): Promise<string> => {
    const { json } = await base.call('POST', '/v1/grants', token, {
      target: 'prod',
      reason: 'look',
    })
    const { id } = (json as { grant: { id: string } }).grant
    const owner = (await base.store.findGrant(id))?.principal ?? ''
    base.clock.at += 10
    return (await base.authority.openSession({ grant: id, principal: owner, client })).session
  }
  const [ana, bob] = [await session(people.ana), await session(people.bob)]
  const search = async (token: string, body: object = {}) => {
    const answer = await base.call('POST', '/v1/sessions/search', token, body)
    expect(answer.status).toBe(200)
    return foundSessionsBody.parse(answer.json)
  }
  return { ...base, people, ana, bob, search }
}

describe('a search for sessions', () => {
  it('is everybody’s for auditors, and one’s own for others', async () => {
    const { people, ana, bob, search } = await withSessions()
    const ids = async (token: string, body: object = {}): Promise<string[]> =>
      (await search(token, body)).sessions.map((one) => one.id)
    expect(await ids(people.eve)).toEqual([bob, ana])
    expect(await ids(people.ana)).toEqual([ana])
    expect(await ids(people.ana, { person: 'bob@example.com' })).toEqual([])
    expect(await ids(people.eve, { person: 'bob@example.com' })).toEqual([bob])
    const page = await search(people.eve, { limit: 1 })
    expect(page.next).toBe(bob)
    expect(await ids(people.eve, { limit: 1, before: bob })).toEqual([ana])
  })

  it('pages from one’s own sessions only', async () => {
    const { call, people, bob } = await withSessions()
    const { status } = await call('POST', '/v1/sessions/search', people.ana, { before: bob })
    expect(status).toBe(404)
  })

  it('is in the audit log before it is answered', async () => {
    const { call, people, log, audit, search } = await withSessions()
    await search(people.ana, { text: 'secret', limit: 5 })
    expect(log.at(-1)).toMatchObject({
      sync: true,
      body: {
        type: 'search.made',
        what: 'sessions',
        scope: 'own',
        filters: { text: 'secret', limit: 5 },
      },
    })
    audit.broken = true
    for (const [path, body] of [
      ['/v1/sessions/search', {}],
      ['/v1/audit/search', { collection: 'docs', key: '1' }],
    ] as const)
      expect((await call('POST', path, people.ana, body)).status).toBe(503)
    expect((await call('GET', '/v1/sessions/watch', people.ana)).status).toBe(503)
  })

  it.each<[string, object]>([
    ['/v1/sessions/search', { limit: 1001 }],
    ['/v1/sessions/search', { limit: 1e99 }],
    ['/v1/sessions/search', { limit: '5' }],
    ['/v1/sessions/search', { principal: 'x' }],
    ['/v1/sessions/search', { decision: 'maybe' }],
    ['/v1/sessions/search', { since: 'yesterday' }],
    ['/v1/sessions/search', { text: 'x'.repeat(501) }],
    ['/v1/sessions/search', { key: ['42'] }],
    ['/v1/audit/search', { key: '42' }],
    ['/v1/audit/search', { collection: 'docs' }],
    ['/v1/audit/search', { collection: 'docs', key: '42', principal: 'x' }],
  ])('refuses %s %j', async (path, body) => {
    const { call, people } = await withSessions()
    expect((await call('POST', path, people.eve, body)).status).toBe(400)
  })

  it('needs a login, and the right method', async () => {
    const { call, people } = await withSessions()
    for (const path of ['/v1/sessions/search', '/v1/audit/search'])
      expect((await call('POST', path, undefined, {})).status).toBe(401)
    expect((await call('GET', '/v1/sessions/watch')).status).toBe(401)
    expect((await call('GET', '/v1/sessions/search', people.eve)).status).toBe(405)
    expect((await call('POST', '/v1/sessions/watch', people.eve, {})).status).toBe(405)
  })
})

describe('a search for a key', () => {
  it('answers for what is indexed, and says how much is not', async () => {
    const { call, people } = await withSessions()
    const answer = await call('POST', '/v1/audit/search', people.eve, {
      collection: 'docs',
      key: '42',
    })
    expect(foundKeyBody.parse(answer.json)).toEqual({
      named: { found: [], more: false },
      unnamed: { found: [], more: false },
      index: { behind: 0, unread: 0, some: [] },
    })
  })
})

describe('the watch', () => {
  it('tells what started and ended since, to whom it may be told, and is written down once', async () => {
    const { call, people, ana, bob, clock, authority, log } = await withSessions()
    const look = async (token: string, after?: number) => {
      const query = after === undefined ? '' : `?after=${after}`
      const answer = await call('GET', `/v1/sessions/watch${query}`, token)
      return sessionChangesBody.parse(answer.json)
    }
    const ids = (rows: readonly { id: string }[]): string[] => rows.map((one) => one.id)
    expect(await look(people.eve)).toEqual({ now: clock.at, started: [], ended: [], held: [] })
    expect(ids((await look(people.eve, clock.at - 15)).started)).toEqual([ana, bob])
    expect(ids((await look(people.ana, clock.at - 15)).started)).toEqual([ana])
    expect(log.filter(({ body }) => body.type === 'search.made')).toHaveLength(2)
    const before = clock.at
    clock.at += 5
    await authority.closeSession({
      ...{ session: bob, reason: 'stopped', operations: 1, denied: 0, rows: 0, bytesOut: 0 },
      recording: { records: 1, head: '' },
    })
    expect(await look(people.eve, before)).toMatchObject({
      started: [],
      ended: [{ id: bob, state: 'stopped' }],
    })
    expect((await look(people.ana, before)).ended).toEqual([])
    // Older changes are not for watching.
    clock.at += 120_000
    expect((await look(people.eve, 0)).ended).toEqual([])
  })
})
