// The login to the database: every method, and a database that cheats.

import { describe, expect, test } from 'vitest'
import type { UpstreamGreeting } from '../../../../src/core/adapter.js'
import type { VgateError } from '../../../../src/core/errors.js'
import { type LoginOptions, PostgresLogin } from '../../../../src/protocol/postgres/login.js'
import { ScramServer, scramVerifier } from '../../../../src/protocol/postgres/scram.js'
import { cstr, errorResponse, i16, i32, message } from '../../../../src/protocol/postgres/wire.js'

class Database {
  readonly sent: Buffer[] = []
  readonly login: PostgresLogin
  tlsStarted = 0
  failed: VgateError | undefined
  ready: { greeting: UpstreamGreeting; cancel: Buffer; rest: Buffer } | undefined

  constructor(more: Partial<LoginOptions> = {}) {
    const options = {
      credential: { username: 'vgate', password: 'hunter2' },
      databaseName: 'vectors',
      parameters: { client_encoding: 'UTF8' },
      tls: false,
      randomBytes: (size: number) => Buffer.alloc(size, 9),
      ...more,
    }
    this.login = new PostgresLogin(options, {
      toUpstream: (bytes) => this.sent.push(bytes),
      startTls: () => {
        this.tlsStarted += 1
      },
      ready: (greeting, cancel, rest) => {
        this.ready = { greeting, cancel, rest }
      },
      failed: (error) => {
        this.failed = error
      },
    })
    this.login.start()
  }

  last(): Buffer {
    return this.sent.at(-1) ?? Buffer.alloc(0)
  }

  says(...messages: readonly Buffer[]): void {
    this.login.fromUpstream(Buffer.concat(messages))
  }
}

const auth = (method: number, ...more: readonly Buffer[]): Buffer =>
  message('R', i32(method), ...more)
const SASL = auth(10, cstr('SCRAM-SHA-256-PLUS'), cstr('SCRAM-SHA-256'), Buffer.from([0]))
const KEY = message('K', i32(7), i32(8))
const READY = message('Z', 'I')
const verifier = scramVerifier('hunter2', Buffer.from('salt'), 1)

function scram(
  database: Database,
  server = new ScramServer(verifier, 'server'),
): string | undefined {
  database.says(SASL)
  const first = database
    .last()
    .subarray(5 + 'SCRAM-SHA-256'.length + 1 + 4)
    .toString()
  database.says(auth(11, Buffer.from(server.first(first))))
  return server.final(database.last().subarray(5).toString())
}

describe('a login that succeeds', () => {
  test('by SCRAM, with what came behind it handed on', () => {
    const database = new Database()
    expect(database.last().toString('latin1')).toContain('user\0vgate\0database\0vectors\0\0')
    const final = scram(database)
    const rest = message('N', Buffer.from([0])).subarray(0, 3)
    database.says(
      auth(12, Buffer.from(final ?? '')),
      auth(0),
      message('S', cstr('server_version'), cstr('15')),
      KEY,
      READY,
      rest,
    )
    expect(database.failed).toBeUndefined()
    expect(database.ready?.greeting.parameters).toEqual({ server_version: '15' })
    expect(database.ready?.cancel.toString('hex')).toBe('0000001004d2162e0000000700000008')
    expect(database.ready?.rest).toEqual(rest)
  })

  describe('and is asked where it looks names up', () => {
    const asked = (): Database => {
      const database = new Database({ askPath: true })
      database.says(auth(0), message('S', cstr('TimeZone'), cstr('UTC')), KEY, READY)
      expect(database.ready).toBeUndefined()
      expect(database.last().toString('latin1')).toMatch(/^Q.*current_schemas\(false\)/s)
      return database
    }
    const named = (name: string): Buffer => {
      const bytes = Buffer.from(name)
      return message('D', i16(1), i32(bytes.length), bytes)
    }
    const columns = message('T', i16(0))
    const complete = message('C', cstr('SELECT 2'))

    test('answers before it is ready', () => {
      const database = asked()
      const rest = message('N', Buffer.from([0])).subarray(0, 3)
      database.says(columns, named('app'), named('odd " ö'), complete, READY, rest)
      expect(database.ready?.greeting).toEqual({
        parameters: { TimeZone: 'UTC' },
        searchPath: ['app', 'odd " ö'],
      })
      expect(database.ready?.rest).toEqual(rest)
    })

    test('may look nowhere', () => {
      const database = asked()
      database.says(columns, complete, READY)
      expect(database.ready?.greeting.searchPath).toEqual([])
    })

    test.each([
      ['with nothing', [READY]],
      ['with a row of no result', [named('app')]],
      ['without an end', [columns, named('app'), READY]],
      ['with two columns', [columns, message('D', i16(2), i32(-1), i32(-1))]],
      [
        'with an error',
        [message('E', cstr('SERROR'), cstr('C42501'), cstr('Mno'), Buffer.from([0]))],
      ],
      ['with something else', [message('G', Buffer.from([0, 0, 0]))]],
    ])('fails %s', (_how, answer) => {
      const database = asked()
      database.says(...answer)
      expect(database.ready).toBeUndefined()
      expect(database.failed).toMatchObject({ code: 'VGATE_UPSTREAM_FAILED' })
    })
  })

  test('by MD5 and in clear where that is allowed', () => {
    const md5 = new Database({ allowPlaintextPassword: true })
    md5.says(auth(5, Buffer.from('abcd')))
    expect(md5.last().subarray(5).toString()).toMatch(/^md5[0-9a-f]{32}\0$/)
    const clear = new Database({ allowPlaintextPassword: true })
    clear.says(auth(3))
    expect(clear.last().subarray(5).toString()).toBe('hunter2\0')
    clear.says(auth(0), KEY, READY)
    expect(clear.ready).toBeDefined()
  })

  test('over TLS, the start-up only after it is up', () => {
    const database = new Database({ tls: true })
    expect(database.last().toString('hex')).toBe('0000000804d2162f')
    database.says(Buffer.from('S'))
    expect([database.tlsStarted, database.sent.length]).toEqual([1, 1])
    database.login.secured()
    expect(database.last().toString('latin1')).toContain('user\0vgate')
  })

  test('with a cancel key of protocol 3.2 length', () => {
    const database = new Database()
    database.says(auth(0), message('K', Buffer.alloc(36, 1)), READY)
    expect(database.ready?.cancel).toHaveLength(44)
  })
})

describe('a login that fails', () => {
  test.each([
    ['no TLS', Buffer.from('N'), 'does not speak TLS'],
    ['bytes behind the agreement', Buffer.from('SX'), 'before TLS was up'],
    [
      'an error in place of it',
      errorResponse({ severity: 'FATAL', sqlstate: '08P01', message: 'x' }),
      'before TLS was up',
    ],
  ])('%s', (_, bytes, why) => {
    const database = new Database({ tls: true })
    database.says(bytes)
    expect(database.failed?.message).toContain(why)
    expect(database.tlsStarted).toBe(0)
  })

  test('bytes between the agreement and TLS', () => {
    const database = new Database({ tls: true })
    database.says(Buffer.from('S'))
    database.says(auth(0))
    expect(database.failed?.message).toContain('before TLS was up')
  })

  test.each([
    ['clear text without TLS', auth(3), 'without TLS'],
    ['MD5 without TLS', auth(5, Buffer.from('abcd')), 'without TLS'],
    [
      'channel binding only',
      auth(10, cstr('SCRAM-SHA-256-PLUS'), Buffer.from([0])),
      'SCRAM-SHA-256-PLUS only',
    ],
    ['Kerberos', auth(7), 'authentication method 7'],
    ['a row', message('D', Buffer.alloc(2)), 'sent D during the login'],
    ['an endless message', Buffer.from('52ffffffff', 'hex'), 'longer than'],
    [
      'a wrong password',
      errorResponse({ severity: 'FATAL', sqlstate: '28P01', message: 'hunter2 is wrong' }),
      'refused the gateway\'s login for "vgate"',
    ],
    [
      'too many connections',
      errorResponse({ severity: 'FATAL', sqlstate: '53300', message: 'too many' }),
      'too many (53300)',
    ],
  ])('%s', (_, bytes, why) => {
    const database = new Database()
    const before = database.sent.length
    database.says(bytes)
    expect(database.failed).toMatchObject({
      code: 'VGATE_UPSTREAM_FAILED',
      message: expect.stringContaining(why),
    })
    expect(database.failed?.message).not.toContain('hunter2')
    expect(database.sent).toHaveLength(before)
    database.says(auth(0), KEY, READY)
    expect(database.ready).toBeUndefined()
  })

  test('a database that does not know the password itself', () => {
    const database = new Database()
    scram(database)
    database.says(auth(12, Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`)))
    expect(database.failed?.message).toContain('could not prove')
  })

  test('a database that skips its proof', () => {
    const database = new Database()
    scram(database)
    database.says(auth(0), KEY, READY)
    expect(database.failed?.message).toContain('before its proof')
    expect(database.ready).toBeUndefined()
  })

  test('a database that never ends its greeting', () => {
    const database = new Database()
    database.says(auth(0))
    const status = message('S', cstr('x'), cstr('y'.repeat(60_000)))
    for (let turn = 0; turn < 5; turn += 1) database.says(status)
    expect(database.failed?.message).toContain('too much')
  })
})
