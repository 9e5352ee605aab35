// The adapter alone: hostile clients before the login, hostile databases after it, order, and the end.

import { describe, expect, test } from 'vitest'
import { VgateError } from '../../../../src/core/errors.js'
import {
  cstr,
  errorResponse,
  i16,
  i32,
  message,
  untyped,
} from '../../../../src/protocol/postgres/wire.js'
import {
  complete,
  dataRow,
  permit,
  query,
  ready,
  rowDescription,
  ScriptedHost,
  type ScriptOptions,
} from '../../../support/scripted-host.js'

const DOCS = [
  ['docs', 20000, 1, 'id'],
  ['docs', 20000, 2, 'email'],
] as const
const EMAIL = {
  collection: 'docs',
  field: 'email',
  transforms: [],
  scores: 'exact',
  rule: 'roles.reader.mask[0]',
} as const
const masked: ScriptOptions = {
  columns: DOCS,
  judge: (request) => ({
    verdict: 'permit',
    obligations: request.operations.map(() => ({ masks: [EMAIL], record: 'text' as const })),
  }),
}
const id = { name: 'id', table: 20000, attribute: 1, type: 23 }
const email = { name: 'email', table: 20000, attribute: 2 }
const refusal = {
  sqlstate: '42501',
  http: 403,
  grpc: 7,
  rule: 'default deny',
  message: 'not allowed',
  hint: 'ask',
}

async function loggedIn(options: ScriptOptions = { columns: DOCS }): Promise<ScriptedHost> {
  const host = new ScriptedHost(options)
  await host.login()
  return host
}

describe('before the login', () => {
  const SSL = untyped(i32(80877103))
  const GSS = untyped(i32(80877104))

  test('requests for encryption are answered N, once each', () => {
    const host = new ScriptedHost()
    host.adapter.fromClient(SSL)
    host.adapter.fromClient(GSS)
    expect(host.client().toString()).toBe('NN')
    host.startup()
    expect(host.client().toString()).toContain('SCRAM-SHA-256')
    expect(host.closed).toBeUndefined()
  })

  test.each([
    ['bytes behind SSLRequest', Buffer.concat([SSL, query('SELECT 1')])],
    ['bytes behind GSSENCRequest', Buffer.concat([GSS, Buffer.from([0])])],
    ['a long SSLRequest', untyped(i32(80877103), Buffer.alloc(4))],
    ['length 0', Buffer.alloc(8)],
    ['length 7', Buffer.from('0000000700030000', 'hex')],
    ['a huge length', Buffer.from('ffffffff00030000', 'hex')],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ])('%s is a violation', (_, bytes) => {
    const host = new ScriptedHost()
    host.adapter.fromClient(bytes)
    expect(host.client().toString('latin1')).toContain('C08P01')
    expect(host.closed).toMatchObject({ code: 'VGATE_PROTOCOL_VIOLATION' })
    expect(host.opened).toEqual([])
  })

  test('a TLS hello is closed without an answer', () => {
    const host = new ScriptedHost()
    host.adapter.fromClient(Buffer.from('160301', 'hex'))
    expect(host.client()).toHaveLength(0)
    expect(host.closed).toMatchObject({ code: 'VGATE_PROTOCOL_VIOLATION' })
  })

  test('a cancel request names the other connection and ends this one', () => {
    const host = new ScriptedHost()
    host.adapter.fromClient(untyped(i32(80877102), i32(1), i32(2)))
    expect(host.cancelled.map((key) => key.toString('hex'))).toEqual(['0000000100000002'])
    expect(host.closed).toBe('closed')
  })

  test('a query in place of the password is a violation', () => {
    const host = new ScriptedHost()
    host.startup()
    host.adapter.fromClient(query('SELECT 1'))
    expect(host.closed).toMatchObject({ message: 'a password message was expected' })
  })

  test('every byte may come alone', async () => {
    const host = new ScriptedHost()
    for (const byte of untyped(i32(196608), cstr('user'), cstr('anna'), Buffer.from([0])))
      host.adapter.fromClient(Buffer.from([byte]))
    expect(host.client().toString()).toContain('SCRAM-SHA-256')
  })

  test('the key is given out with the session', async () => {
    const host = await loggedIn()
    expect(host.adapter.cancelKey?.toString('hex')).toBe('0707070707070707')
    expect(host.opened).toEqual([{ client_encoding: 'UTF8' }])
  })
})

describe('a hostile database', () => {
  const select = query('select id, email from docs')
  const both = rowDescription(id, email)
  test.each([
    [
      'a field of length -2',
      [both, message('D', i16(2), i32(1), Buffer.from('1'), i32(-2))],
      'says it has -2 bytes',
    ],
    ['a row with a column more', [both, dataRow('1', 'a', 'b')], 'other columns'],
    [
      'a row with bytes behind it',
      [both, message('D', i16(2), i32(-1), i32(-1), Buffer.from('x'))],
      'after its last field',
    ],
    ['a row that ends early', [both, message('D', i16(2), i32(-1), i32(9))], 'ends before'],
    ['a row without a description', [dataRow('1', 'a')], 'without its description'],
    ['CopyOut to a SELECT', [message('H', Buffer.from([0]), i16(0))], 'with H'],
    ['CopyIn to a SELECT', [message('G', Buffer.from([0]), i16(0))], 'with G'],
    ['CopyBoth', [message('W', Buffer.from([0]), i16(0))], 'with W'],
    ['a second description', [both, both], 'with T'],
    ['ready before it is done', [ready()], 'with Z'],
    ['one completion too many', [both, complete('SELECT 0'), complete('SELECT 0')], 'with C'],
    ['an authentication request', [message('R', i32(0))], 'with R'],
    ['a column fewer', [rowDescription(id)], 'came where 2 were expected'],
    ['swapped columns', [rowDescription(email, id)], 'comes from docs.email'],
    [
      'another encoding',
      [message('S', cstr('client_encoding'), cstr('LATIN1'))],
      'client_encoding',
    ],
    ['a giant notice', [Buffer.from('4e06400000', 'hex')], 'longer than'],
    ['an unknown type', [Buffer.from('7700000004', 'hex')], '0x77'],
  ])('%s ends the connection', async (_, messages, why) => {
    const host = await loggedIn(masked)
    await host.send(select)
    host.adapter.fromUpstream(Buffer.concat(messages))
    expect(host.closed).toMatchObject({ message: expect.stringContaining(why) })
    expect(host.client().toString('latin1')).toContain('VFATAL')
    expect(host.upstreamCancels).toBe(1)
    expect(host.deliveries.at(-1)).toMatchObject({ done: true })
  })

  test('what it says unasked ends the connection', async () => {
    const host = await loggedIn()
    host.adapter.fromUpstream(complete('SELECT 1'))
    expect(host.closed).toMatchObject({ message: 'the database sent C unasked' })
  })

  test('a replaced statement that does not fail ends the connection', async () => {
    const host = await loggedIn({ judge: () => ({ verdict: 'deny', refusal }) })
    await host.send(query('select id from docs'))
    expect(host.upstream().bytes.toString()).not.toContain('docs')
    host.adapter.fromUpstream(complete('SELECT 1'))
    expect(host.closed).toMatchObject({ message: 'the database answered refused with C' })
  })

  test('notices lose their text while masked fields are read', async () => {
    const host = await loggedIn(masked)
    await host.send(select)
    const notice = errorResponse({
      severity: 'ERROR',
      sqlstate: '01000',
      message: 'value a@b.c',
      detail: 'a@b.c',
    })
    notice.write('N', 0)
    host.adapter.fromUpstream(notice)
    const told = host.client().toString('latin1')
    expect(told).toContain('text withheld')
    expect(told).not.toContain('a@b.c')
  })
})

describe('results', () => {
  test('untouched messages go on in one write, in any chunking', async () => {
    const stream = Buffer.concat([
      rowDescription(id),
      dataRow('1'),
      dataRow('2'),
      complete('SELECT 2'),
      ready(),
    ])
    for (const size of [1, 3, 7, stream.length]) {
      const host = await loggedIn()
      await host.send(query('select id from docs'))
      for (let at = 0; at < stream.length; at += size)
        host.adapter.fromUpstream(stream.subarray(at, at + size))
      expect(host.client().toString('hex')).toBe(stream.toString('hex'))
      expect(host.deliveries.flatMap((delivery) => delivery.rows ?? [])).toEqual([['1'], ['2']])
    }
  })

  test('rows are recorded before they are given', async () => {
    const host = await loggedIn()
    await host.send(query('select id from docs'))
    host.delivered = () => {
      throw new VgateError('VGATE_RECORDING_UNAVAILABLE', 'disk full')
    }
    expect(() =>
      host.adapter.fromUpstream(Buffer.concat([rowDescription(id), dataRow('1')])),
    ).toThrow('disk full')
    expect(host.client()).toHaveLength(0)
  })

  test('values are masked in both formats', async () => {
    const host = await loggedIn(masked)
    await host.send(query('select id, email from docs'))
    host.adapter.fromUpstream(
      Buffer.concat([
        rowDescription(id, email),
        dataRow('1', 'a@b.c'),
        complete('SELECT 1'),
        ready(),
      ]),
    )
    expect(host.client().includes('a@b.c')).toBe(false)
    expect(host.deliveries.at(-1)).toMatchObject({
      rows: [['1', null]],
      masked: 1,
      tag: 'SELECT 1',
      done: true,
    })
  })
})

describe('order', () => {
  test('a later message waits for the ruling of an earlier one, and the answer keeps its place', async () => {
    const host = await loggedIn({ columns: DOCS, judge: () => undefined })
    await host.send(query('select id from docs'), query('select email from docs'))
    expect(host.requests).toHaveLength(1)
    expect(host.upstream().types).toBe('')
    const [first] = host.requests
    if (first === undefined) throw new Error('nothing was judged')
    host.adapter.ruled(first.id, permit(first.request))
    expect(host.upstream().types).toBe('Q')
    host.adapter.fromUpstream(Buffer.concat([rowDescription(id), complete('SELECT 0'), ready()]))
    await host.settle()
    expect(host.requests).toHaveLength(2)
  })

  test('the queue behind a ruling has an end', async () => {
    const host = await loggedIn({
      columns: DOCS,
      judge: () => undefined,
      limits: { queuedBytes: 1000 },
    })
    await host.send(query('select id from docs'))
    await host.send(query('x'.repeat(600)))
    expect(host.adapter.congested).toBe(true)
    await host.send(query('x'.repeat(600)))
    expect(host.closed).toMatchObject({ message: 'too many messages wait for an answer' })
  })

  test('a Bind that was ruled on after an error is not sent, and its run is over', async () => {
    const host = await loggedIn({
      columns: DOCS,
      judge: (request) => (request.phase === 'prepare' ? permit(request) : undefined),
    })
    const bind = message('B', cstr(''), cstr(''), i16(0), i16(0), i16(0))
    await host.send(message('P', cstr(''), cstr('select id from docs'), i16(0)), bind)
    expect(host.upstream().types).toBe('P')
    host.adapter.fromUpstream(
      errorResponse({ severity: 'ERROR', sqlstate: '57014', message: 'canceled' }),
    )
    const last = host.requests.at(-1)
    if (last === undefined) throw new Error('nothing was judged')
    host.adapter.ruled(last.id, permit(last.request))
    expect(host.upstream().types).toBe('')
    expect(host.deliveries).toMatchObject([{ done: true, error: { sqlstate: '25P02' } }])
    await host.send(message('S'))
    expect(host.upstream().types).toBe('S')
  })

  test('Terminate is passed on and ends the connection', async () => {
    const host = await loggedIn()
    await host.send(message('X'))
    expect([host.upstream().types, host.closed]).toEqual(['X', 'closed'])
  })
})

describe('the end', () => {
  const ended = new VgateError('VGATE_GRANT_ENDED', 'the grant ended', { hint: 'connect again' })

  test('cancels what runs, tells the client, records, closes', async () => {
    const host = await loggedIn()
    await host.send(query('select id from docs'))
    host.adapter.fromUpstream(
      Buffer.concat([rowDescription(id), dataRow('1'), dataRow('2').subarray(0, 4)]),
    )
    host.client()
    host.adapter.terminate(ended)
    expect(host.upstreamCancels).toBe(1)
    expect(host.client().toString()).toMatch(/^E.*the grant ended/s)
    expect(host.deliveries.at(-1)).toMatchObject({ done: true, error: { sqlstate: '57P01' } })
    expect(host.closed).toBe(ended)
    host.adapter.fromUpstream(dataRow('2'))
    host.adapter.fromClient(query('select id from docs'))
    expect(host.client()).toHaveLength(0)
    expect(host.upstream().types).toBe('Q')
  })

  test('a lost database is told as such', async () => {
    const host = await loggedIn()
    host.adapter.upstreamFailed(new VgateError('VGATE_UPSTREAM_FAILED', 'reset'))
    expect(host.client().toString()).toContain('the database connection was lost')
    expect(host.closed).toMatchObject({ message: 'reset' })
  })

  test('a client that vanishes stops what it started', async () => {
    const host = await loggedIn()
    await host.send(query('select id from docs'))
    host.adapter.clientEnded()
    expect([host.upstreamCancels, host.closed]).toEqual([1, 'closed'])
    expect(host.deliveries.at(-1)).toMatchObject({ done: true })
  })

  test('a database that ends the session is passed on once', async () => {
    const host = await loggedIn()
    host.adapter.fromUpstream(
      message(
        'E',
        cstr('SFATAL'),
        cstr('VFATAL'),
        cstr('C57P01'),
        cstr('Mshutting down'),
        Buffer.from([0]),
      ),
    )
    expect(host.client().toString()).toContain('shutting down')
    expect(host.closed).toMatchObject({ code: 'VGATE_UPSTREAM_FAILED' })
  })
})
