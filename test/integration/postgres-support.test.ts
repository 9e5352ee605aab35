// Proves that both kinds of test server start here, with every way of authenticating, and go away again.

import { readFileSync } from 'node:fs'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { selfSignedCertificate } from '../support/certificates.js'
import { hasPostgres, startPostgres } from '../support/postgres.js'
import { startTampering } from '../support/postgres-tampering.js'
import { RawPostgres } from '../support/raw-postgres.js'

const setup = readFileSync(new URL('../corpus/setup.sql', import.meta.url), 'utf8')

describe.skipIf(!hasPostgres('pgvector'))('a server with pgvector', () => {
  it('clones a database that holds vectors', async () => {
    const server = await startPostgres({ kind: 'pgvector', logStatements: true })
    try {
      const template = await server.createDatabase({ sql: `CREATE EXTENSION vector;\n${setup}` })
      const first = await server.createDatabase({ template })
      const client = await server.connect(first)
      await client.query('DELETE FROM docs WHERE id > 1')
      const nearest = `SELECT id FROM docs ORDER BY embedding <-> '[0.11,0.82,-0.33,0.45]' LIMIT 1`
      expect((await client.query(nearest)).rows).toEqual([{ id: 1 }])
      await client.end()
      const second = await server.createDatabase({ template })
      const other = await server.connect(second)
      expect((await other.query(nearest)).rows).toEqual([{ id: 2 }])
      await other.end()
      expect(server.log()).toContain('DELETE FROM docs WHERE id > 1')
    } finally {
      await server.stop()
    }
    await expect(
      new pg.Client({ host: server.host, port: server.port, user: 'postgres' }).connect(),
    ).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe.skipIf(!hasPostgres('plain'))('a plain server', () => {
  it.each(['scram', 'md5', 'password'] as const)('authenticates by %s', async (auth) => {
    const server = await startPostgres({ kind: 'plain', auth })
    try {
      const client = await server.connect('postgres')
      const stored = await client.query('SELECT rolpassword FROM pg_authid WHERE rolname = $1', [
        'postgres',
      ])
      expect(stored.rows[0].rolpassword).toMatch(auth === 'md5' ? /^md5/ : /^SCRAM-SHA-256\$/)
      await client.end()
      await expect(
        new pg.Client({
          host: server.host,
          port: server.port,
          user: 'postgres',
          password: 'wrong',
        }).connect(),
      ).rejects.toMatchObject({ code: '28P01' })
    } finally {
      await server.stop()
    }
  })

  it('speaks TLS alone when it is given a certificate', async () => {
    const tls = selfSignedCertificate()
    const server = await startPostgres({ kind: 'plain', tls })
    try {
      const base = { host: server.host, port: server.port, user: 'postgres' }
      const verified = new pg.Client({ ...base, password: server.password, ssl: { ca: tls.cert } })
      await verified.connect()
      const answer = await verified.query(
        'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      )
      expect(answer.rows).toEqual([{ ssl: true }])
      await verified.end()
      await expect(
        new pg.Client({ ...base, password: server.password, ssl: false }).connect(),
      ).rejects.toMatchObject({ code: '28000' })
    } finally {
      await server.stop()
    }
  })

  it('can be made hostile by a relay that changes one answer', async () => {
    const server = await startPostgres({ kind: 'plain' })
    const sql = 'SELECT 1'
    const relay = await startTampering({ ...server, sql, attack: 'DataRow field length -2' })
    try {
      const raw = await RawPostgres.login({
        host: relay.host,
        port: relay.port,
        user: server.superuser,
        password: server.password,
        database: 'postgres',
      })
      const honest = await raw.query('SELECT 2')
      expect(honest.map((reply) => reply.type).join('')).toBe('TDCZ')
      expect(relay.fired).toBe(0)
      const row = (await raw.query(sql)).find((reply) => reply.type === 'D')
      expect(row?.body.toString('hex')).toBe('0001fffffffe')
      expect(relay.fired).toBe(1)
      raw.end()
    } finally {
      await relay.stop()
      await server.stop()
    }
  })
})
