// The adapter and the login between a real driver and a real PostgreSQL: order, masks, limits, refusals, COPY.

import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JudgeRequest, Ruling } from '../../src/core/adapter.js'
import type { Obligations } from '../../src/core/decision.js'
import { VgateError } from '../../src/core/errors.js'
import type { MaskerFactory } from '../../src/core/masker.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { AdapterServer, PORT_SECRET } from '../support/adapter-host.js'
import { fakeAnalyzer } from '../support/fake-analyzer.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { RawPostgres } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'

const LIMIT = 5
const SQL = `
  create table docs (id int primary key, title text, email text, score float8);
  insert into docs select n, 'title ' || n, 'user' || n || '@example.org', n / 3.0 from generate_series(1, 8) n;
  create table notes (id int primary key, body text);
  insert into notes select n, 'note ' || n from generate_series(1, 20) n;
  create table secret_docs (id int, ssn text);
`

const masker: MaskerFactory = {
  forField: (_masks, kind) => ({
    alwaysNull: kind === 'other',
    mask: () => (kind === 'text' ? { value: '[masked]', masked: 1 } : { value: null, masked: 1 }),
  }),
}

function obligations(request: JudgeRequest, index: number): Obligations {
  const operation = request.operations[index]
  if (operation === undefined || !('access' in operation)) return { masks: [], record: 'text' }
  const masks = operation.returns.outputs
    .flatMap((output) => output.sources)
    .filter((source) => source.field === 'email')
    .map((source) => ({
      collection: source.collection,
      field: source.field,
      transforms: [{ kind: 'value', with: 'redact' }] as const,
      scores: 'exact' as const,
      rule: 'roles.reader.mask[0]',
    }))
  const unbounded =
    operation.returns.rows === 'unbounded' &&
    operation.collections.some((use) => use.collection === 'notes')
  const limited = unbounded && operation.name === 'select'
  const rowLimit = { rows: LIMIT, rule: 'roles.reader.limits.rows', because: 'limit' } as const
  return { masks, record: 'text', ...(limited ? { rowLimit } : {}) }
}

function judge(request: JudgeRequest): Ruling {
  const bad = request.operations.find(
    (operation) =>
      !('access' in operation) ||
      operation.collections.some((use) => use.collection === 'secret_docs'),
  )
  if (bad === undefined) {
    return {
      verdict: 'permit',
      obligations: request.operations.map((_, index) => obligations(request, index)),
    }
  }
  const message = 'reason' in bad ? bad.reason : 'reading secret_docs is not allowed'
  return {
    verdict: 'deny',
    refusal: {
      sqlstate: '42501',
      http: 403,
      grpc: 7,
      rule: 'default deny',
      message,
      hint: 'ask the owner',
    },
  }
}

const failure = (promise: Promise<unknown>): Promise<pg.DatabaseError> =>
  promise.then(
    () => {
      throw new Error('it should have failed')
    },
    (error: pg.DatabaseError) => error,
  )

describe.runIf(hasPostgres('plain'))('the Postgres adapter on a real server', () => {
  let postgres: TestPostgres
  let server: AdapterServer
  let client: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
    const database = await postgres.createDatabase({ sql: SQL })
    const upstream = {
      host: postgres.host,
      port: postgres.port,
      user: postgres.superuser,
      password: postgres.password,
    }
    const product = {
      vectorTypes: [],
      distanceOperators: {},
      distanceFunctions: {},
      builtInVectorTypes: {},
      embeddingFunctions: [],
      extensions: [],
      settings: [],
    }
    server = await AdapterServer.start({
      family: postgresFamily(product, fakeAnalyzer()),
      upstream,
      database,
      masker,
      judge,
    })
  })
  afterAll(async () => {
    await server?.stop()
    await postgres?.stop()
  })
  beforeEach(async () => {
    client = await server.connect()
    server.deliveries.length = 0
    server.requests.length = 0
    return async () => {
      await client.end().catch(() => {})
    }
  })

  test('a simple query is masked and recorded as it was given', async () => {
    const { rows } = await client.query('select id, email from docs where id = 1')
    expect(rows).toEqual([{ id: 1, email: '[masked]' }])
    expect(server.deliveries.at(-1)).toMatchObject({
      columns: ['id', 'email'],
      rows: [['1', '[masked]']],
      rowCount: 1,
      masked: 1,
      tag: 'SELECT 1',
      done: true,
    })
  })

  test('an extended query is masked, in text and in binary, described or not', async () => {
    const text = 'select id, email from docs where id = $1'
    expect((await client.query(text, [2])).rows).toEqual([{ id: 2, email: '[masked]' }])
    const binary = { text, values: [3], binary: true }
    const { rows } = await client.query(binary)
    expect(JSON.stringify(rows)).toContain('[masked]')
    expect(server.requests.at(-1)).toMatchObject({
      phase: 'execute',
      form: 'extended',
      parameters: ['3'],
    })
    const named = { name: 'by-id', text, values: [4] }
    expect((await client.query(named)).rows).toEqual([{ id: 4, email: '[masked]' }])
    expect((await client.query({ ...named, values: [5] })).rows).toEqual([
      { id: 5, email: '[masked]' },
    ])
  })

  test('a refusal fails the transaction as the server would, and the text never arrives', async () => {
    await client.query('begin')
    const error = await failure(client.query('select ssn from secret_docs'))
    expect(error).toMatchObject({
      code: '42501',
      message: 'reading secret_docs is not allowed',
      detail: 'rule: default deny',
      hint: 'ask the owner',
    })
    expect((await failure(client.query('select id from docs limit 1'))).code).toBe('25P02')
    await client.query('rollback')
    expect((await client.query('select id from docs limit 1')).rows).toEqual([{ id: 1 }])
    expect(postgres.log()).not.toContain('from secret_docs')
  })

  test('a refused Parse leaves the session in sync', async () => {
    const error = await failure(client.query('select ssn from secret_docs where id = $1', [1]))
    expect(error.code).toBe('42501')
    expect((await client.query('select title from docs where id = $1', [1])).rows).toEqual([
      { title: 'title 1' },
    ])
  })

  test('syntax errors look like the server made them', async () => {
    expect(await failure(client.query('selec 1'))).toMatchObject({ code: '42601', position: '1' })
    expect(await failure(client.query({ text: 'selec $1', values: [1] }))).toMatchObject({
      code: '42601',
    })
  })

  test.each([
    ['simple'],
    ['extended'],
  ])('a read past its limit fails in the database itself: %s', async (form) => {
    const values = form === 'simple' ? {} : { values: [0] }
    const where = form === 'simple' ? 'where id > 0' : 'where id > $1'
    await client.query('begin')
    const error = await failure(
      client.query({ text: `select id, body from notes ${where}`, ...values }),
    )
    expect(error).toMatchObject({
      code: '53400',
      message: 'the read went past 5 rows (roles.reader.limits.rows)',
    })
    const given = server.deliveries.reduce((sum, delivery) => sum + (delivery.rows?.length ?? 0), 0)
    expect(given).toBe(LIMIT)
    expect(server.deliveries.at(-1)).toMatchObject({ done: true, error: { sqlstate: '53400' } })
    expect((await failure(client.query('select id from docs limit 1'))).code).toBe('25P02')
    await client.query('rollback')
  })

  test('a read that stays within its limit looks like any other', async () => {
    const result = await client.query('select id from notes where id <= 5')
    expect([result.rowCount, result.command]).toEqual([5, 'SELECT'])
    expect((await client.query('select id from notes where id <= $1', [5])).rowCount).toBe(5)
    expect((await client.query('select id from docs limit 1')).rowCount).toBe(1)
  })

  test('several statements in one query', async () => {
    const results = await client.query(
      "begin; insert into notes values (900, 'x'); select email from docs where id = 1 limit 1; rollback",
    )
    expect(JSON.stringify(results)).toContain('[masked]')
    expect(
      await failure(client.query('select id from docs limit 1; select id from notes')),
    ).toMatchObject({ code: '0A000' })
  })

  test('a new table is found, and nothing but its kind runs before it is committed', async () => {
    await client.query('create table fresh (id int)')
    expect((await client.query('select id from fresh')).rows).toEqual([])
    await client.query('begin')
    await client.query('alter table fresh add column email text')
    expect((await failure(client.query('select email from fresh limit 1'))).message).toContain(
      'schema change',
    )
    await client.query('rollback')
    await client.query('drop table fresh')
  })

  test('texts of errors are withheld where masked fields are read', async () => {
    const error = await failure(client.query('select email from docs where id = 1 / (id - 1)'))
    expect(error).toMatchObject({ code: '22012' })
    expect(error.message).toContain('text withheld')
  })

  test('a wrong secret, a foreign database and a refused setting are told apart', async () => {
    expect(await failure(server.connect({ password: 'wrong' }))).toMatchObject({ code: '28P01' })
    expect(await failure(server.connect({ database: 'other' }))).toMatchObject({ code: '3D000' })
    const options = { options: '-c standard_conforming_strings=off' }
    expect(await failure(server.connect(options))).toMatchObject({ code: '42501' })
    const path = await server.connect({
      options: '-csearch_path=public -c statement_timeout=12345',
    })
    expect((await path.query('show statement_timeout')).rows).toEqual([
      { statement_timeout: '12345ms' },
    ])
    expect((await path.query('show search_path')).rows).toEqual([{ search_path: '"public"' }])
    await path.end()
  })

  test('the end of a grant is FATAL in the middle of a statement', async () => {
    const ended = failure(client.query('select pg_sleep(20)'))
    await expect.poll(() => server.requests.length).toBe(1)
    server.adapters.at(-1)?.terminate(new VgateError('VGATE_REVOKED', 'the grant was revoked'))
    expect(await ended).toMatchObject({
      code: '57P01',
      message: 'the grant was revoked',
      severity: 'FATAL',
    })
  })

  describe('raw messages', () => {
    let raw: RawPostgres
    beforeEach(async () => {
      const to = { host: '127.0.0.1', port: server.port, timeoutMs: 8000 }
      raw = await RawPostgres.login({
        ...to,
        user: 'anna',
        password: PORT_SECRET,
        database: client.database ?? '',
      })
      raw.replies.length = 0
      return () => raw.end()
    })

    /** Sends the steps in one go and answers the types of what came back, up to the last ReadyForQuery. */
    async function types(steps: readonly MessageStep[], readies = 1): Promise<string> {
      const from = raw.replies.length
      for (const step of steps) raw.step(step)
      const seen = () =>
        raw.replies
          .slice(from)
          .map((reply) => reply.type)
          .join('')
      await expect.poll(() => seen().split('Z').length - 1, { timeout: 8000 }).toBe(readies)
      return seen()
    }
    const told = () => Buffer.concat(raw.replies.map((reply) => reply.body)).toString('latin1')
    const parse = (name: string, sql: string): MessageStep => ({ m: 'P', name, sql })
    const bind = (portal: string, stmt: string): MessageStep => ({ m: 'B', portal, stmt })
    const run = (portal: string, max = 0): MessageStep => ({ m: 'E', portal, max })
    const SYNC: MessageStep = { m: 'S' }
    const q = (sql: string): MessageStep => ({ m: 'Q', sql })

    test('portals page under one mask', async () => {
      const all = [
        parse('', 'select email from docs'),
        bind('p1', ''),
        run('p1', 1),
        run('p1', 1),
        run('p1'),
        SYNC,
      ]
      expect(await types(all)).toBe('12DsDsDDDDDDCZ')
      expect(told()).not.toContain('example.org')
    })

    test('two portals of one unnamed statement keep their own columns', async () => {
      const order = await types([
        parse('', 'select body from notes limit 1'),
        bind('p1', ''),
        parse('', 'select email from docs where id = 1'),
        bind('p2', ''),
        run('p1'),
        run('p2'),
        SYNC,
      ])
      expect(order).toBe('1212DCDCZ')
      expect(told()).toContain('note 1')
      expect(told()).not.toContain('example.org')
    })

    test('a refusal inside a pipeline skips to Sync, and the next segment runs', async () => {
      const order = await types(
        [
          parse('a', 'select id from docs limit 1'),
          bind('', 'a'),
          run(''),
          parse('', 'select ssn from secret_docs'),
          bind('', ''),
          run(''),
          SYNC,
          bind('', 'a'),
          run(''),
          SYNC,
        ],
        2,
      )
      expect(order).toBe('12DCEZ2DCZ')
      expect(told()).toContain('reading secret_docs is not allowed')
    })

    test('a name whose definition failed in an earlier segment is not taken for the new one', async () => {
      await types([parse('s', 'select id from docs where id = 1'), SYNC])
      const order = await types(
        [parse('s', 'select email from docs where id = 1'), SYNC, bind('', 's'), run(''), SYNC],
        2,
      )
      expect(order).toBe('EZ2DCZ')
      expect(told()).toContain('already exists')
    })

    test('DEALLOCATE and a new definition under the same name', async () => {
      await types([parse('s1', 'select id from docs where id = 1'), SYNC])
      const all = [
        q('deallocate s1'),
        parse('s1', 'select email from docs where id = 1'),
        SYNC,
        bind('', 's1'),
        run(''),
        SYNC,
      ]
      expect(await types(all, 3)).toBe('CZ1Z2DCZ')
      expect(told()).not.toContain('example.org')
    })

    test('a statement made by SQL is not reached by Bind', async () => {
      expect(
        await types([q('prepare s9 as select email from docs'), bind('', 's9'), run(''), SYNC], 2),
      ).toBe('CZEZ')
      expect(told()).toContain('prepared statement "s9" does not exist')
    })

    test('an unnamed statement does not survive a limited query', async () => {
      await types([parse('', 'select id from docs where id = 1'), SYNC])
      expect(await types([q('select body from notes where id = 1')])).toBe('TDCZ')
      expect(await types([bind('', ''), run(''), SYNC])).toBe('EZ')
    })

    test('Describe and Flush answer before Sync', async () => {
      raw.step({ m: 'P', name: '', sql: 'select email from docs where id = $1', oids: [23] })
      raw.step({ m: 'D', kind: 'S', name: '' })
      raw.step({ m: 'H' })
      await expect.poll(() => raw.replies.map((reply) => reply.type).join('')).toBe('1tT')
      raw.step({ m: 'B', portal: '', stmt: '', params: ['1'], rfmt: [1] })
      expect(await types([run(''), SYNC])).toBe('2DCZ')
      expect(told()).not.toContain('example.org')
    })

    test('a limited portal pages up to its limit and fails there', async () => {
      const all = [
        parse('', 'select id from notes'),
        bind('p', ''),
        run('p', 3),
        run('p', 3),
        run('p', 3),
        SYNC,
      ]
      expect(await types(all)).toBe('12DDDsDDEZ')
      expect(told()).toContain('53400')
    })

    test('a function call is refused, and the session goes on', async () => {
      expect(await types([{ m: 'F', oid: 957, args: ['131072'], fmt: 0 }])).toBe('EZ')
      expect(told()).toContain('function call protocol is refused')
      expect(await types([q('select id from docs limit 1')])).toBe('TDCZ')
    })

    test('COPY in, sent in one go, is data whatever it looks like', async () => {
      const data = '97002\tone\n97003\tDELETE FROM notes;\n'
      expect(await types([q('copy notes from stdin'), { m: 'd', data }, { m: 'c' }])).toBe('GCZ')
      expect(server.deliveries.at(-1)).toMatchObject({
        rowCount: 2,
        bytes: data.length,
        tag: 'COPY 2',
        done: true,
      })
      const again = [
        parse('', 'copy notes from stdin'),
        bind('', ''),
        run(''),
        SYNC,
        { m: 'd', data: 'x\n' },
        { m: 'c' },
        SYNC,
      ]
      expect(await types(again)).toBe('12GEZ')
    })

    test('COPY out of what is neither masked nor limited', async () => {
      expect(await types([q('copy docs to stdout')])).toBe('HddddddddcCZ')
      expect(server.deliveries.at(-1)).toMatchObject({
        columns: ['copy'],
        rowCount: 8,
        tag: 'COPY 8',
        done: true,
      })
    })

    test('a query behind an unfinished pipeline is answered, and skipped after an error', async () => {
      const all = [
        parse('', 'select id from docs limit 1'),
        bind('', ''),
        run(''),
        q('select id from docs limit 2'),
        SYNC,
      ]
      expect(await types(all, 2)).toBe('12DCTDDCZZ')
      expect(await types([bind('', 'none'), q('select id from docs limit 2'), SYNC])).toBe('EZ')
    })

    test('an empty query and an empty statement', async () => {
      expect(await types([q('')])).toBe('IZ')
      expect(await types([parse('', ''), bind('', ''), run(''), SYNC])).toBe('12IZ')
    })

    test.each([
      ['length 0', '5100000000'],
      ['length -1', '51ffffffff'],
      ['no terminator', '510000000c53454c4543542031'],
      ['a type of the server', '5a0000000549'],
      ['a password after the login', '700000000861626300'],
      ['a NUL inside', '510000000d53454c00435420310000'],
    ])('%s ends the connection', async (_, hex) => {
      raw.send(Buffer.from(hex, 'hex'))
      await expect.poll(() => raw.closed).toBe(true)
      expect(told()).toContain('08P01')
    })
  })
})
