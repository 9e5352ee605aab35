// Owns a generated store for the benchmark of searches: sessions of 300 people on 20 targets over 70 days, each with a
// few uses, keys and statements. The same seed gives the same store.

import type { Touch, Use } from '../../src/audit/session-facts.js'
import { newId } from '../../src/core/ids.js'
import { type Principal, principalId } from '../../src/core/principal.js'
import type { Store } from '../../src/store/store.js'

const ISSUER = 'https://id.example.com'
const OPERATIONS = ['search', 'get', 'scroll', 'insert', 'update', 'delete', 'delete_by_filter']
const STEP_MS = 60_000

export interface GeneratedStore {
  readonly people: readonly Principal[]
  readonly from: number
  readonly until: number
}

/** Numbers from 0 up to a bound; Park and Miller's, which needs no package. */
export function seeded(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/** Fills a store. `clock` is moved along, so that sessions begin one after another. */
export async function fillStore(
  store: Store,
  clock: { at: number },
  sessions: number,
  progress: (done: number) => void,
): Promise<GeneratedStore> {
  const random = seeded(7)
  const people = Array.from({ length: 300 }, (_, index) => personOf(index))
  for (const person of people) await store.upsertPrincipal(person)
  const from = clock.at
  for (let index = 0; index < sessions; index += 1) {
    clock.at = from + index * STEP_MS
    const principal = people[random(people.length)] ?? personOf(0)
    const id = newId('ses')
    const target = `target-${random(20)}`
    const grant = { id: newId('grt'), principal: principal.id, target, roles: ['reader'] }
    const whole = { ...grant, startsAt: clock.at, endsAt: clock.at + 3_600_000 }
    await store.createGrant(whole, 'hash')
    const client = { version: '1', platform: 'linux', command: 'connect' }
    const maxOpen = Number.MAX_SAFE_INTEGER
    await store.openSession({ id, grant: whole, principal, database: 'pgvector', client, maxOpen })
    const recording = { records: 20, head: '' }
    const counts = { operations: 9, denied: 1, rows: 90, bytesOut: 9000 }
    await store.closeSession({ session: id, reason: 'stopped', ...counts, recording })
    const indexed = await store.indexSession(id)
    if (indexed === undefined) throw new Error('the session is not there')
    await store.addTouches(indexed, touchesOf(random, clock.at))
    await store.finishIndex(indexed, {
      ...{ state: 'done', records: 20, open: [], textCut: false },
      uses: usesOf(random),
      texts: textsOf(random, index),
    })
    if (index % 5000 === 0) progress(index)
  }
  return { people, from, until: clock.at }
}

function personOf(index: number): Principal {
  const subject = `person-${index}`
  const id = principalId(ISSUER, subject)
  const name = `${subject}@example.com`
  return { id, kind: 'person', provider: 'corp', issuer: ISSUER, subject, name, groups: [], claims: {} }
}

function usesOf(random: (below: number) => number): Use[] {
  return Array.from({ length: 2 + random(6) }, () => ({
    collection: random(3) === 0 ? `collection_${random(200)}` : 'docs',
    operation: OPERATIONS[random(OPERATIONS.length)] ?? 'get',
    decision: random(10) === 0 ? 'deny' : 'permit',
    count: 1 + random(50),
  }))
}

function touchesOf(random: (below: number) => number, at: number): Touch[] {
  const base = { at, collection: 'docs', outcome: 'done' as const, rows: 1 }
  const named = Array.from({ length: 3 }, (_, record) => ({
    ...base,
    record,
    // Every session writes one key that all write.
    key: record === 0 ? 'hot' : String(random(200_000)),
    action: 'upsert',
  }))
  const predicate = 'DELETE FROM docs WHERE year < 2020'
  return [...named, { ...base, record: 9, action: 'delete_by_filter', predicate }]
}

function textsOf(random: (below: number) => number, index: number): string[] {
  return [
    `SELECT id, title FROM docs WHERE topic = 'word${random(5000)}' ORDER BY embedding <=> $1 LIMIT ${random(100)}`,
    `INSERT INTO docs (id, title) VALUES (${random(200_000)}, 'only${index}')`,
  ]
}
