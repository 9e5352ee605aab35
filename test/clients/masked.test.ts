// Owns that drivers read masked results as they would read a database in which the masked values stand: the same script
// runs through a gateway with masks, and directly in a database whose values were replaced by hand.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import {
  type Client,
  canRun,
  JDBC,
  NEEDS_JDBC,
  NEEDS_PRISMA,
  NEEDS_PYTHON,
  PYTHON,
  told,
} from './run-client.js'

const folder = fileURLToPath(new URL('masked', import.meta.url))

const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE people (id int PRIMARY KEY, email text, name varchar(40), code char(8), salary int, big bigint,
  ratio float8, small float4, amount numeric(10, 2), born date, seen timestamptz, flag bool, uid uuid, tags text[],
  nums int[], meta jsonb, doc json, raw bytea, host inet, span int4range, took interval, open text, embedding vector(4));
INSERT INTO people SELECT n, 'person' || n || '@example.net', 'Some Name ' || n, 'code' || n, 1000 * n, 5000000000 * n,
  n / 3.0, n / 7.0, n + 0.25, date '2001-02-03' + n, timestamptz '2024-05-06 07:08:09Z', n % 2 = 0,
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8', ARRAY['a', NULL, 'b"' || n], ARRAY[n, NULL, 2], jsonb_build_object('phone', '+1 202-555-010' || n, 'city', 'Ulm'),
  '{"k": 1}', '\\x00ff', '192.0.2.7', int4range(n, 9), interval '1 day 2 hours', 'open ' || n, format('[%s,1,2,3]', n)::vector
  FROM generate_series(1, 4) n;
INSERT INTO people (id, open) VALUES (5, 'all else is NULL');
`
/** What a mask makes of a value, by the table of docs/policy.md; NULL stays NULL. */
const MASKED = `
UPDATE people SET email = '[masked]', name = '****' || right(name, 4), code = '[masked]', salary = NULL, big = NULL,
  ratio = NULL, small = NULL, amount = NULL, born = NULL, seen = NULL, flag = NULL, uid = NULL, tags = NULL, nums = NULL,
  meta = jsonb_set(meta, '{phone}', '"[masked]"'), doc = '"[masked]"', raw = NULL, host = NULL, span = NULL, took = NULL,
  embedding = NULL WHERE id < 5;
`
const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [people] }]
    mask:
      - collections: [people]
        fields: [email, code, salary, big, ratio, small, amount, born, seen, flag, uid, tags, nums, meta.phone, doc, raw, host, span, took]
        with: redact
      - { collections: [people], fields: [name], with: partial }
      - { collections: [people], vectors: drop }
access:
  - { who: { group: corp:all }, role: reader, targets: [prod-*] }
`
const CLIENTS: readonly Client[] = [
  {
    name: 'node-postgres, postgres.js, Prisma',
    command: [process.execPath, join(folder, 'node.mjs')],
    needs: [NEEDS_PRISMA],
  },
  {
    name: 'psycopg, asyncpg, SQLAlchemy',
    command: [PYTHON, join(folder, 'python_clients.py')],
    needs: [NEEDS_PYTHON],
  },
  {
    name: 'JDBC',
    command: ['java', '-cp', JDBC, join(folder, 'MaskedClient.java'), join(folder, 'queries.mjs')],
    needs: [NEEDS_JDBC],
  },
]

describe.skipIf(!hasPostgres('pgvector'))('a client reads masked results', () => {
  let server: TestPostgres
  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => server?.stop())

  it.each(CLIENTS.map((client) => [client.name, client] as const))('%s', async (_, client) => {
    if (!canRun(client)) return
    const { host, port, superuser: user, password } = server
    const replaced = await server.createDatabase({ sql: SETUP + MASKED })
    const direct = await told(client, { host, port, user, password, database: replaced })
    const database = await server.createDatabase({ sql: SETUP })
    const users = { all: ['corp:all'] }
    const gateway = await startTestGateway({ postgres: server, database, policy: POLICY, users })
    const connection = await gateway.connectAs('all')
    try {
      const seen = await told(client, connection)
      expect(seen).toEqual(direct)
      // It is no accident of two empty answers.
      expect(seen.join()).toContain('[masked]')
      expect(seen.join()).not.toContain('example.net')
    } finally {
      await connection.close()
      await gateway.stop()
    }
  })
})
