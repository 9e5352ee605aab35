// Owns a generated store for the benchmark of searches: sessions of 300 people on 20 targets over 70 days, each with a
// few uses, keys and statements. It writes the rows that the store would, in one transaction. The same seed gives the
// same store.

import { join } from 'node:path'
import Database from 'libsql'
import { newId } from '../../src/core/ids.js'
import { principalId } from '../../src/core/principal.js'
import { markOf, wordsOf } from '../../src/store/full-text.js'
import { STORE_FILE } from '../../src/store/libsql-errors.js'
import { INDEX_VERSION, keyHash, useMark } from '../../src/store/session-facts.js'

const OPERATIONS = ['search', 'get', 'scroll', 'insert', 'update', 'delete', 'delete_by_filter']
const STEP_MS = 60_000
type Random = (below: number) => number

/** Numbers from 0 up to a bound; Park and Miller's, which needs no package. */
export function seeded(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/** Id and name of a person by number. */
export function personOf(index: number): { readonly id: string; readonly name: string } {
  const subject = `person-${index % 300}`
  return { id: principalId('https://id.example.com', subject), name: `${subject}@example.com` }
}

/** Fills the store of a directory, which nobody has open; its tables are there. Gives the bytes that it takes. */
export function fillStore(directory: string, from: number, sessions: number): number {
  const db = new Database(join(directory, STORE_FILE))
  const insert = (table: string, columns: number): Database.Statement =>
    db.prepare(`INSERT OR IGNORE INTO ${table} VALUES (${Array(columns).fill('?').join(', ')})`)
  const principals = insert('principals', 11)
  const grants = insert('grants', 15)
  const rows = insert('sessions', 19)
  const places = insert('session_index', 8)
  const uses = insert('session_uses', 5)
  const touches = insert('session_touches', 13)
  const texts = db.prepare('INSERT INTO session_text (rowid, words, marks) VALUES (?, ?, ?)')
  const random = seeded(7)
  db.exec('BEGIN')
  for (let index = 0; index < 300; index += 1) {
    const { id, name } = personOf(index)
    principals.run(
      id,
      'person',
      'corp',
      'https://id.example.com',
      name,
      name,
      '[]',
      '{}',
      from,
      from,
      null,
    )
  }
  for (let index = 0; index < sessions; index += 1) {
    const at = from + index * STEP_MS
    const [no, id, grant] = [at * 1024, newId('ses'), newId('grt')]
    const { id: principal, name } = personOf(random(300))
    const target = `target-${random(20)}`
    grants.run(
      grant,
      principal,
      target,
      '["reader"]',
      null,
      null,
      at,
      at + 1,
      at,
      'hash',
      null,
      null,
      null,
      null,
      null,
    )
    rows.run(
      ...[id, grant, principal, name, 'corp', target, 'pgvector', '["reader"]', null, '{}'],
      ...[at, at + 1, 'stopped', 9, 1, 90, 9000, 20, 'ab'.repeat(32)],
    )
    places.run(no, id, principal, 'done', null, 20, 0, INDEX_VERSION)
    const marks = new Set([markOf('person', principal), markOf('target', target)])
    for (let use = 2 + random(6); use > 0; use -= 1) addUse(uses, no, random, marks)
    for (let record = 0; record < 4; record += 1) {
      // Every session writes one key that all write, and has one write that names no key.
      const key = record === 0 ? 'hot' : record === 3 ? undefined : String(random(200_000))
      const hash = key === undefined ? '' : keyHash(key)
      const predicate = key === undefined ? 'DELETE FROM docs WHERE year < 2020' : null
      touches.run(
        no,
        record,
        principal,
        target,
        'docs',
        hash,
        key ?? null,
        'upsert',
        at,
        'done',
        1,
        null,
        predicate,
      )
    }
    texts.run(no, wordsOf(textOf(random, index)), [...marks].join(' '))
  }
  db.exec('COMMIT')
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const pages: unknown = db
    .prepare('SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()')
    .get()
  db.close()
  return (pages as { bytes: number }).bytes
}

function addUse(uses: Database.Statement, no: number, random: Random, marks: Set<string>): void {
  const collection = random(3) === 0 ? `collection_${random(200)}` : 'docs'
  const operation = OPERATIONS[random(OPERATIONS.length)] ?? 'get'
  const decision = random(10) === 0 ? 'deny' : 'permit'
  uses.run(no, collection, operation, decision, 1 + random(50))
  for (const one of [collection, null])
    for (const two of [operation, null])
      for (const three of [decision, null]) marks.add(useMark(one, two, three))
}

function textOf(random: Random, index: number): string {
  return `SELECT id, title FROM docs WHERE topic = 'word${random(5000)}' ORDER BY embedding <=> $1 LIMIT ${random(100)};
INSERT INTO docs (id, title) VALUES (${random(200_000)}, 'only${index}')`
}
