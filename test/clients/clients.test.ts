// Owns that clients people use see through the gateway what they see without it: each script runs twice, directly and
// under a role that allows everything, and tells the same.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway } from '../support/gateway.js'
import { findPostgres, hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import {
  BIN,
  type Client,
  canRun,
  JDBC,
  NEEDS_JDBC,
  NEEDS_PRISMA,
  NEEDS_PYTHON,
  PYTHON,
  told,
} from './run-client.js'

const folder = fileURLToPath(new URL('.', import.meta.url))

const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE docs (id int PRIMARY KEY, title text NOT NULL, embedding vector(4) DEFAULT '[0,0,0,1]');
INSERT INTO docs SELECT n, 'title ' || n, format('[%s,%s,%s,%s]', n, n % 3, 7 - n % 5, 1)::vector
  FROM generate_series(1, 20) n;
CREATE INDEX docs_embedding ON docs USING hnsw (embedding vector_cosine_ops);
CREATE TABLE notes (id int PRIMARY KEY, body text);
CREATE TABLE counted (id serial PRIMARY KEY, body text);
ANALYZE;
`

/** Everything that is not of the server itself. */
const POLICY = `
roles:
  everything:
    allow: [{ access: admin, collections: ['*'] }]
access:
  - { who: { group: corp:all }, role: everything, targets: [prod-*] }
`

/** It makes what it needs where that is absent, under a lock. */
const READER = `
roles:
  reader:
    allow: [{ access: read, collections: [langchain_pg_collection, langchain_pg_embedding] }]
    functions: ['pg_catalog.pg_advisory_xact_lock(bigint)']
access:
  - { who: { group: corp:all }, role: reader, targets: [prod-*] }
`

const python = (script: string, ...args: readonly string[]): Client => ({
  name: script,
  command: [PYTHON, join(folder, script), ...args],
  needs: [NEEDS_PYTHON],
})
const node = (script: string): Client => ({
  name: script,
  command: [process.execPath, join(folder, script)],
  needs: [],
})

/** A tool that is not run: what it asks, by its sources. */
const statements = (file: string): Client => ({
  name: file,
  command: [process.execPath, join(folder, 'statements.mjs'), join(folder, file)],
  needs: [],
})

/** The one that is made for typing. */
const TYPING = join(findPostgres().plain ?? '', 'psql')
const shell = (script: string, program: string): Client => ({
  name: script,
  command: ['sh', join(folder, script)],
  needs: [[join(BIN, program), 'the PostgreSQL of .cache/pgvector']],
})

const CLIENTS: readonly Client[] = [
  shell('psql.sh', 'psql'),
  shell('pgbench.sh', 'pgbench'),
  {
    name: 'psql-completion.mjs',
    command: [process.execPath, join(folder, 'psql-completion.mjs'), TYPING],
    needs: [[TYPING, 'a psql with readline: the distribution’s PostgreSQL']],
  },
  node('node-postgres.mjs'),
  node('postgres-js.mjs'),
  statements('dbeaver.yaml'),
  statements('pgadmin.yaml'),
  statements('langchain.yaml'),
  python('psycopg_client.py'),
  python('asyncpg_client.py'),
  python('sqlalchemy_client.py'),
  python('langchain_client.py', 'writer'),
  {
    ...node('prisma.mjs'),
    needs: [NEEDS_PRISMA],
  },
  {
    name: 'JdbcClient.java',
    command: ['java', '-cp', JDBC, join(folder, 'JdbcClient.java')],
    needs: [NEEDS_JDBC],
  },
]

describe.skipIf(!hasPostgres('pgvector'))('a client sees what it sees without the gateway', () => {
  let server: TestPostgres
  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => server?.stop())

  it.each(CLIENTS.map((client) => [client.name, client] as const))('%s', async (_, client) => {
    if (!canRun(client)) return
    const { host, port, superuser: user, password } = server
    const bare = await server.createDatabase({ sql: SETUP })
    const direct = await told(client, { host, port, user, password, database: bare })
    const database = await server.createDatabase({ sql: SETUP })
    const gateway = await startTestGateway({
      postgres: server,
      database,
      policy: POLICY,
      users: { all: ['corp:all'] },
    })
    const connection = await gateway.connectAs('all')
    try {
      expect(await told(client, connection)).toEqual(direct)
    } finally {
      await connection.close()
      await gateway.stop()
    }
  })

  it('LangChain’s PGVector as a reader', async () => {
    const [writer, reader] = [true, false].map((writes) =>
      python('langchain_client.py', ...(writes ? ['writer'] : [])),
    )
    if (writer === undefined || reader === undefined || !canRun(reader)) return
    const { host, port, superuser: user, password } = server
    const database = await server.createDatabase()
    const place = { host, port, user, password, database }
    await told(writer, place)
    const direct = await told(reader, place)
    const policy = READER
    const users = { all: ['corp:all'] }
    const gateway = await startTestGateway({ postgres: server, database, policy, users })
    const connection = await gateway.connectAs('all')
    try {
      expect(await told(reader, connection)).toEqual(direct)
      await expect(told(writer, connection)).rejects.toThrow(/is not allowed|default deny/)
    } finally {
      await connection.close()
      await gateway.stop()
    }
  })
})
