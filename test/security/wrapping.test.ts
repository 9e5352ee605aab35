// Wrapping an expression around a masked column never unmasks it: every function of the server that takes a value, every
// cast and every operator, given masked columns, lets nothing of them out, in whatever form.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import {
  CANARIES,
  LINEAGE_POLICY,
  LINEAGE_USERS,
  lineageSql,
} from '../support/lineage-databases.js'
import { formsOf } from '../support/masked-statements.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { RawPostgres } from '../support/raw-postgres.js'

/** `npm test` asks one in so many; `VGATE_FUZZ_SECONDS` all. */
const PART = process.env['VGATE_FUZZ_SECONDS'] === undefined ? 3 : 1
/** Sent together, each with its own Sync, so that each fails by itself. */
const BATCH = 60

/** A masked column for each type of argument; of any other type a NULL is given. */
const MASKED: Readonly<Record<string, string>> = {
  // Plain columns wherever the server converts by itself.
  ...{ text: 'p.email', varchar: 'p.ssn', name: 'p.email', bpchar: 'p.email' },
  ...{ int4: 'p.salary', int8: 'p.salary', float4: 'p.salary', oid: 'p.salary' },
  ...{ float8: 'p.rate', numeric: 'p.rate', date: 'p.born' },
  ...{ timestamp: 'p.born', timestamptz: 'p.born', int2: 'p.salary::int2' },
  ...{ json: 'p.doc', jsonb: 'p.meta', _text: 'p.tags', bytea: 'p.email::bytea' },
  ...{ any: 'p.email', anyelement: 'p.email', anynonarray: 'p.email', anycompatible: 'p.email' },
  ...{ anyarray: 'p.tags', anycompatiblearray: 'p.tags', anycompatiblenonarray: 'p.email' },
  ...{ record: 'p', vector: 'p.emb', halfvec: 'p.emb::halfvec', tsvector: 'to_tsvector(p.email)' },
  ...{ tsquery: 'plainto_tsquery(p.email)', xml: 'xmlelement(name a, p.email)' },
  ...{ _int4: 'ARRAY[p.salary]', _float8: 'ARRAY[p.salary]::float8[]' },
}
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

describe.skipIf(!hasPostgres('pgvector'))('wrapped in anything', () => {
  let server: TestPostgres
  let gateway: TestGateway
  let session: TestConnection
  let database: string

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
    database = await server.createDatabase({ sql: lineageSql('first') })
    gateway = await startTestGateway({
      postgres: server,
      database,
      policy: LINEAGE_POLICY,
      users: LINEAGE_USERS,
    })
    session = await gateway.connectAs('ana')
  })
  afterAll(async () => {
    await gateway?.stop()
    await server?.stop()
  })

  const statements = async (): Promise<string[]> => {
    const admin = await server.connect(database)
    try {
      const functions = await admin.query<{ name: string; kind: string; types: string[] }>(
        `SELECT p.proname AS name, p.prokind AS kind,
         ARRAY(SELECT t.typname::text FROM unnest(p.proargtypes) WITH ORDINALITY a(o, n)
           JOIN pg_type t ON t.oid = a.o ORDER BY a.n) AS types
         FROM pg_proc p WHERE p.pronargs > 0 AND p.prokind IN ('f', 'a', 'w')
         AND NOT p.proargtypes::oid[] && ARRAY['internal'::regtype, 'cstring'::regtype, 'trigger'::regtype]::oid[]
         AND p.proname NOT LIKE 'pg_sleep%' ORDER BY p.oid`,
      )
      const types = await admin.query<{ name: string }>(
        `SELECT format_type(t.oid, NULL) AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typtype IN ('b', 'd', 'e', 'r') AND n.nspname IN ('pg_catalog', 'public') AND t.typname NOT LIKE 'pg\\_%'`,
      )
      const operators = await admin.query<{ name: string; left: string; right: string }>(
        `SELECT DISTINCT o.oprname AS name, l.typname AS left, r.typname AS right FROM pg_operator o
         JOIN pg_type l ON l.oid = o.oprleft JOIN pg_type r ON r.oid = o.oprright ORDER BY 1, 2, 3`,
      )
      const from = 'FROM people p WHERE p.id < 4'
      return [
        ...functions.rows.flatMap(({ name, kind, types: all }) => {
          if (!all.some((type) => MASKED[type] !== undefined)) return []
          const given = all.map((type) => MASKED[type] ?? `NULL::${quoted(type)}`)
          const over = kind === 'w' ? ' OVER (ORDER BY p.id)' : ''
          return [`SELECT ${quoted(name)}(${given.join(', ')})${over} ${from}`]
        }),
        ...types.rows.map(({ name }) => `SELECT p.email::${name}, p.meta::${name} ${from}`),
        ...operators.rows.flatMap(({ name, left, right }) => {
          const [a, b] = [MASKED[left], MASKED[right]]
          return a === undefined || b === undefined ? [] : [`SELECT ${a} ${name} ${b} ${from}`]
        }),
      ]
    } finally {
      await admin.end()
    }
  }

  const forms = CANARIES.first.flatMap((value) => [
    ...formsOf(value),
    ...(/\d{4}/.test(value) ? [value.replace(/\D/g, '')] : []),
  ])

  test('nothing masked leaves', async () => {
    const every = await statements()
    expect(every.length).toBeGreaterThan(1500)
    const all = every.filter((_, index) => index % PART === 0)
    const leaks: string[] = []
    const seen = { given: 0, refused: 0 }
    let raw = await RawPostgres.login({ ...session, timeoutMs: 60_000 })
    for (let at = 0; at < all.length; at += BATCH) {
      const part = all.slice(at, at + BATCH)
      const from = raw.replies.length
      for (const sql of part)
        for (const step of [{ m: 'P', sql }, { m: 'B' }, { m: 'E' }, { m: 'S' }]) raw.step(step)
      for (let ready = 0, next = from; ready < part.length; ) {
        const found = raw.replies.findIndex(({ type }, index) => index >= next && type === 'Z')
        if (found >= 0) {
          const replies = raw.replies.slice(next, found)
          const text = Buffer.concat(replies.map(({ body }) => body)).toString('latin1')
          const sent = (part[ready] ?? '').toLowerCase()
          const leaked = forms.filter(
            (form) =>
              form.length > 3 &&
              text.toLowerCase().includes(form.toLowerCase()) &&
              !sent.includes(form.toLowerCase()),
          )
          if (leaked.length > 0) leaks.push(`${part[ready]}: ${leaked.join(' ')}`)
          seen[replies.some(({ type }) => type === 'D') ? 'given' : 'refused'] += 1
          ready += 1
          next = found + 1
        } else if ((await raw.waitFor('Z', Math.max(next, raw.replies.length))) !== 'found') {
          // The gateway cut a result that it could not vouch for: nothing of it has come.
          expect({ statement: part[ready], cut: raw.closed }).toEqual({
            statement: part[ready],
            cut: true,
          })
          raw = await RawPostgres.login({ ...session, timeoutMs: 60_000 })
          break
        }
      }
    }
    raw.end()
    expect(leaks).toEqual([])
    expect(seen.given).toBeGreaterThan(30 / PART)
    expect(seen.refused).toBeGreaterThan(1000 / PART)
  })
})
