// Owns what honest clients do all day under policies that allow it: a gateway that refuses these would be switched
// off. Real psql where the machine has it, node-postgres, and the statements of drivers and ORMs.

import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const run = promisify(execFile)
const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')

/** Everything on two tables, nothing held; and P1's reader beside it. */
const POLICY = `
roles:
  keeper:
    allow: [{ access: admin, collections: [docs, notes, fresh, made] }]
  reader:
    allow: [{ access: read, collections: [docs, notes] }]
    mask:
      - { collections: [docs], fields: [email, ssn], with: redact }
      - { collections: [docs], vectors: drop, scores: { round: 2 } }
    limits: { rows: 1000 }
access:
  - { who: { group: corp:keepers }, role: keeper, targets: [prod-*] }
  - { who: { group: corp:readers }, role: reader, targets: [prod-*] }
`

const NEAREST = '[0.7,0.3,-0.5,0.1]'

/** For both roles. */
const READS: readonly (string | readonly [string, readonly unknown[]])[] = [
  'SELECT 1',
  'SELECT version()',
  'SELECT current_user, session_user, current_database(), current_schema()',
  'SELECT now(), current_timestamp, current_date',
  'SHOW server_version',
  'SHOW transaction_isolation',
  'SHOW search_path',
  'SHOW TimeZone',
  "SELECT current_setting('server_version_num')",
  "SELECT setting FROM pg_settings WHERE name = 'max_index_keys'",
  "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('standard_conforming_strings', 'TimeZone')",
  ['SELECT setting FROM pg_settings WHERE name = $1', ['TimeZone']],
  ['SELECT current_setting($1)', ['server_version']],
  "SET application_name = 'app'",
  "SET TIME ZONE 'UTC'",
  "SET statement_timeout = '5s'",
  'SET hnsw.ef_search = 100',
  'SET ivfflat.probes = 10',
  'RESET ALL',
  'DISCARD ALL',
  'BEGIN READ ONLY; SELECT 1; COMMIT',
  'BEGIN ISOLATION LEVEL SERIALIZABLE; ROLLBACK',
  'BEGIN; SAVEPOINT a; SELECT 1; RELEASE a; COMMIT',
  'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
  'SELECT id, title FROM docs LIMIT 5 OFFSET 2',
  'SELECT * FROM docs LIMIT 10',
  'SELECT d.title, n.body FROM docs d JOIN notes n USING (id) LIMIT 10',
  'SELECT d.title FROM docs d LEFT JOIN LATERAL (SELECT body FROM notes n WHERE n.id = d.id LIMIT 1) x ON true LIMIT 5',
  "WITH q AS (SELECT id FROM notes WHERE tenant = 't1' LIMIT 5) SELECT * FROM q ORDER BY id DESC",
  'SELECT id, row_number() OVER (PARTITION BY tenant ORDER BY id) FROM notes LIMIT 5',
  'SELECT tenant, count(*), min(id), max(id) FROM notes GROUP BY tenant HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 10',
  'SELECT count(*) FROM notes',
  'SELECT exists(SELECT 1 FROM notes WHERE id = 5)',
  "SELECT string_agg(title, ', ') FROM (SELECT title FROM docs LIMIT 5) q",
  'SELECT json_agg(n) FROM (SELECT * FROM notes ORDER BY id LIMIT 20) n',
  'SELECT array_agg(id) FROM notes WHERE id IN (1, 2, 3)',
  `SELECT '{"a":[1,2]}'::jsonb -> 'a' -> 0, '{"a":1}'::jsonb ->> 'a', '{"a":1}'::jsonb @> '{"a":1}', '{"a":1}'::jsonb ? 'a'`,
  "SELECT jsonb_build_object('id', id, 'title', title) FROM docs LIMIT 3",
  `SELECT id FROM docs ORDER BY embedding <-> '${NEAREST}' LIMIT 3`,
  `SELECT id, title, 1 - (embedding <=> '${NEAREST}') AS score FROM docs ORDER BY embedding <=> '${NEAREST}' LIMIT 3`,
  `SELECT id FROM docs WHERE tenant = 't1' ORDER BY embedding <=> '${NEAREST}'::vector LIMIT 3`,
  `SELECT id, embedding <=> '${NEAREST}'::vector AS d FROM docs ORDER BY d LIMIT 3`,
  ['SELECT id FROM docs ORDER BY embedding <-> $1 LIMIT 3', [NEAREST]],
  [
    'SELECT id, embedding <=> $1::vector AS distance FROM docs ORDER BY distance LIMIT $2',
    [NEAREST, 3],
  ],
  ['SELECT id FROM docs ORDER BY embedding <=> $1::vector(4) LIMIT 3', [NEAREST]],
  ['SELECT * FROM notes WHERE id = ANY($1)', [[1, 2, 3]]],
  ['SELECT * FROM notes WHERE id = ANY($1::int[]) AND body ILIKE $2', [[1, 2], '%note%']],
  ['SELECT * FROM notes WHERE ($1::text IS NULL OR tenant = $1) LIMIT 5', [null]],
  "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
  "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'",
  "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'",
  "SELECT oid, typarray FROM pg_type WHERE typname = 'vector'",
  'SELECT t.oid, t.typname, t.typelem FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace',
  "SELECT extversion FROM pg_extension WHERE extname = 'vector'",
  "SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = 'notes'::regclass AND a.attnum > 0",
  'SELECT i.relname, array_agg(a.attname) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a ON a.attrelid = i.oid GROUP BY i.relname',
  "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'notes'::regclass",
  'EXPLAIN SELECT * FROM notes WHERE id = 1',
  'EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT count(*) FROM notes',
  "SELECT CASE WHEN id > 2 THEN 'big' ELSE 'small' END, coalesce(title, '-'), upper(title) FROM docs LIMIT 5",
  'SELECT generate_series(1, 5)',
  'PREPARE q1(int) AS SELECT title FROM docs WHERE id = $1; EXECUTE q1(1); EXPLAIN EXECUTE q1(1); DEALLOCATE q1',
  'BEGIN; DECLARE c1 SCROLL CURSOR FOR SELECT * FROM notes; FETCH 10 FROM c1; MOVE BACKWARD 5 FROM c1; FETCH NEXT FROM c1; CLOSE c1; COMMIT',
  'BEGIN; DECLARE c2 CURSOR WITH HOLD FOR SELECT id FROM notes; COMMIT; FETCH FORWARD 5 FROM c2; CLOSE c2',
  'BEGIN; DECLARE c3 CURSOR FOR SELECT id FROM notes LIMIT 5; SAVEPOINT a; FETCH 1 FROM c3; ROLLBACK TO a; FETCH ALL FROM c3; COMMIT',
  'DISCARD PLANS',
  'VALUES (1, 2), (3, 4)',
  "SELECT * FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY",
  "SELECT gen_random_uuid(), md5('x'), to_char(now(), 'YYYY')",
  'WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t',
]

/** For the role that may do everything. */
const WRITES: readonly (string | readonly [string, readonly unknown[]])[] = [
  "INSERT INTO notes VALUES (90001, 't1', 'hello') ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING *",
  "INSERT INTO notes VALUES (90001, 't1', 'hello') ON CONFLICT DO NOTHING",
  ['INSERT INTO notes(id, tenant, body) VALUES ($1, $2, $3) RETURNING id', [90002, 't', null]],
  ['UPDATE notes SET body = $1 WHERE id = $2', ['x', 1]],
  ['UPDATE notes SET body = body || $1 WHERE tenant = $2', ['x', 't']],
  'DELETE FROM notes WHERE id = 90002 RETURNING *',
  ['INSERT INTO docs(id, title, embedding) VALUES ($1, $2, $3)', [50, 'new', NEAREST]],
  ['UPDATE docs SET embedding = $1::vector WHERE id = $2', [NEAREST, 50]],
  'SELECT * FROM notes WHERE id = 1 FOR UPDATE',
  'SELECT * FROM notes',
  'CREATE EXTENSION IF NOT EXISTS vector',
  'CREATE TABLE IF NOT EXISTS made (id serial PRIMARY KEY, meta jsonb, embedding vector(4), at timestamptz DEFAULT now())',
  'INSERT INTO made(meta) VALUES (\'{"k": 1}\')',
  'CREATE INDEX IF NOT EXISTS made_hnsw ON made USING hnsw (embedding vector_cosine_ops) WITH (m = 8, ef_construction = 32)',
  'CREATE INDEX made_ivf ON made USING ivfflat (embedding vector_l2_ops) WITH (lists = 1)',
  'ALTER TABLE made ADD COLUMN note text',
  'ANALYZE made',
  'TRUNCATE made',
  'DROP TABLE made',
]

const PSQL = ['/usr/bin/psql', '/usr/local/bin/psql'].find((path) => existsSync(path))

describe.skipIf(!hasPostgres('pgvector'))('honest clients', () => {
  let server: TestPostgres
  let gateway: TestGateway
  let database: string
  const sessions: Record<string, TestConnection> = {}
  const clients: Record<string, pg.Client> = {}

  const textAndValues = (one: string | readonly [string, readonly unknown[]]) =>
    typeof one === 'string'
      ? { text: one, values: [] }
      : { text: one[0], values: one[1] as unknown[] }

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
    database = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}`,
    })
    gateway = await startTestGateway({
      postgres: server,
      database,
      policy: POLICY,
      users: { kay: ['corp:keepers'], rea: ['corp:readers'] },
    })
    for (const user of ['kay', 'rea']) {
      const session = await gateway.connectAs(user)
      sessions[user] = session
      const { host, port, password } = session
      const client = new pg.Client({ host, port, password, database, user })
      await client.connect()
      clients[user] = client
    }
  })
  afterAll(async () => {
    for (const client of Object.values(clients)) await client.end()
    for (const session of Object.values(sessions)) await session.close()
    await gateway?.stop()
    await server?.stop()
  })

  it.each(
    READS.map((one) => [textAndValues(one).text, one] as const),
  )('read: %s', async (_, one) => {
    const { text, values } = textAndValues(one)
    for (const user of ['kay', 'rea']) {
      const answer = await clients[user]?.query(values.length > 0 ? { text, values } : text)
      expect(answer).toBeDefined()
      // Again as a prepared statement, where it is one statement.
      if (!text.includes(';'))
        await clients[user]?.query({ name: `n${text.length}_${text.slice(0, 40)}`, text, values })
    }
  })

  it.each(
    WRITES.map((one) => [textAndValues(one).text, one] as const),
  )('write: %s', async (_, one) => {
    const { text, values } = textAndValues(one)
    await expect(clients['kay']?.query(text, values)).resolves.toBeDefined()
  })

  describe.skipIf(PSQL === undefined)('psql', () => {
    const psql = async (user: string, ...commands: string[]) => {
      const session = sessions[user]
      if (session === undefined || PSQL === undefined) throw new Error('no session')
      const { host, port, password } = session
      const env = { PGHOST: host, PGPORT: String(port), PGPASSWORD: password, PGUSER: user }
      return run(
        PSQL,
        ['-X', '-v', 'ON_ERROR_STOP=1', '-d', database, ...commands.flatMap((one) => ['-c', one])],
        { env: { ...env, PGSSLMODE: 'disable', PATH: process.env['PATH'] ?? '', PAGER: 'cat' } },
      )
    }

    it.each([
      ['\\d', 'notes'],
      ['\\dt', 'docs'],
      ['\\dt+', 'docs'],
      ['\\d docs', 'embedding'],
      ['\\d+ notes', 'tenant'],
      ['\\di', 'notes_tenant'],
      ['\\dv', 'docs_v'],
      ['\\dn', 'shadow'],
      ['\\du', 'postgres'],
      ['\\df get_ssn', 'get_ssn'],
      ['\\dx', 'vector'],
      ['\\dT', 'vector'],
      ['\\do <->', '<->'],
      ['\\l', 'postgres'],
      ['\\conninfo', 'connected'],
      ['\\dp notes', 'notes'],
      ['\\ds', ''],
      ['\\dm', 'docs_mv'],
      ['\\encoding', 'UTF8'],
      ['SELECT title FROM docs WHERE id = 1', 'Quarterly'],
    ])('%s', async (command, shows) => {
      for (const user of ['kay', 'rea']) {
        const { stdout, stderr } = await psql(user, command)
        expect(`${stdout}${stderr}`).toContain(shows)
        expect(stdout).not.toContain('900-55')
      }
    })

    it('copies in and out where nothing is hidden', async () => {
      const { stdout } = await psql(
        'kay',
        '\\copy (SELECT id, tenant FROM notes WHERE id < 4 ORDER BY id) TO STDOUT CSV',
      )
      expect(stdout).toBe('1,t1\n2,t1\n3,t1\n')
      await run(
        '/bin/sh',
        [
          '-c',
          `printf '91001\\tt\\tx\\n' | ${PSQL} -X -d '${database}' -c 'COPY notes FROM STDIN'`,
        ],
        {
          env: {
            PGHOST: sessions['kay']?.host ?? '',
            PGPORT: String(sessions['kay']?.port),
            PGPASSWORD: sessions['kay']?.password ?? '',
            PGUSER: 'kay',
            PGSSLMODE: 'disable',
            PATH: process.env['PATH'] ?? '',
          },
        },
      )
      const found = await clients['kay']?.query('SELECT body FROM notes WHERE id = 91001')
      expect(found?.rows).toEqual([{ body: 'x' }])
    })
  })
})
