// The pgvector product: its address, environment, snippets and action names.

import { describe, expect, it } from 'vitest'
import { VgateError } from '../../../src/core/errors.js'
import { findDatabase, KNOWN_ACTIONS } from '../../../src/databases/list.js'
import { PGVECTOR } from '../../../src/databases/pgvector.js'

const endpoint = {
  host: '127.0.0.1',
  port: 20001,
  secret: 'p@ss/w:rd',
  databaseName: 'my db',
  user: 'ana',
}

describe('addresses', () => {
  for (const [url, expected] of [
    [
      'postgres://db.internal:5433/vectors',
      { host: 'db.internal', port: 5433, databaseName: 'vectors' },
    ],
    [
      'postgresql://db.internal/my%20db',
      { host: 'db.internal', port: 5432, databaseName: 'my db' },
    ],
    ['postgres://[::1]:5432/v', { host: '::1', port: 5432, databaseName: 'v' }],
  ] as const) {
    it(url, () => expect(PGVECTOR.parseAddress(url)).toEqual(expected))
  }

  for (const [url, message] of [
    ['nonsense', 'is not a URL'],
    ['http://db/v', 'must begin with postgres:// or postgresql://'],
    ['postgres://u:p@db/v', 'must not hold a user name or password'],
    ['postgres://u@db/v', 'must not hold a user name or password'],
    ['postgres://db/v?options=-c%20role=x', 'must not hold options'],
    ['postgres://db', 'names no database'],
    ['postgres://db/a/b', 'names no single database'],
    ['postgres://db/a%00b', 'names no single database'],
    ['postgres:///v', 'names no host'],
  ] as const) {
    it(`refuses ${url}`, () => {
      try {
        PGVECTOR.parseAddress(url)
      } catch (error) {
        expect(error).toBeInstanceOf(VgateError)
        expect(error).toMatchObject({
          code: 'VGATE_CONFIG_INVALID',
          message: `the address of a pgvector target ${message}`,
        })
        return
      }
      throw new Error('not refused')
    })
  }
})

describe('clients', () => {
  it('gives the variables of libpq', () => {
    expect(PGVECTOR.environment(endpoint)).toEqual({
      PGHOST: '127.0.0.1',
      PGPORT: '20001',
      PGUSER: 'ana',
      PGPASSWORD: 'p@ss/w:rd',
      PGDATABASE: 'my db',
      PGSSLMODE: 'disable',
      DATABASE_URL: 'postgresql://ana:p%40ss%2Fw%3Ard@127.0.0.1:20001/my%20db?sslmode=disable',
    })
    expect(PGVECTOR.connectionString({ ...endpoint, host: '::1' })).toContain('@[::1]:20001/')
  })

  it('gives a snippet for each client', () => {
    const found = PGVECTOR.snippets(endpoint)
    expect(found.map((each) => each.client)).toEqual([
      'psql',
      'psycopg',
      'node pg',
      'LangChain',
      'Prisma',
    ])
    for (const snippet of found) expect(snippet.code).toContain(':20001/my%20db')
  })
})

describe('the list', () => {
  it('finds products by exact name', () => {
    expect(findDatabase('pgvector')).toBe(PGVECTOR)
    expect(findDatabase('constructor')).toBeUndefined()
    expect(findDatabase('__proto__')).toBeUndefined()
  })

  it('knows action names', () => {
    expect(KNOWN_ACTIONS.has('delete_by_filter')).toBe(true)
    expect(KNOWN_ACTIONS.has('nothing')).toBe(false)
  })
})
