// A statement that waits for a person: what its Parse locked is given back, unseen by the client, and it goes on after.

import { describe, expect, test } from 'vitest'
import { cstr, errorResponse, i16, i32, message } from '../../../../src/protocol/postgres/wire.js'
import {
  complete,
  permit,
  ready,
  rowDescription,
  ScriptedHost,
  typesOf,
} from '../../../support/scripted-host.js'

const id = { name: 'id', table: 20000, attribute: 1, type: 23 }

describe('a held statement', () => {
  const waiting = async (): Promise<{ host: ScriptedHost; rule: () => void }> => {
    const host = new ScriptedHost({
      columns: [['docs', 20000, 1, 'id']],
      judge: (request) => (request.phase === 'prepare' ? permit(request) : undefined),
    })
    await host.login()
    await host.send(
      message('P', cstr(''), cstr('select id from docs'), i16(0)),
      message('B', cstr(''), cstr(''), i16(0), i16(0), i16(0)),
      message('E', cstr(''), i32(0)),
      message('S'),
    )
    host.client()
    host.adapter.notify('waits')
    // A second notice of the same wait sends nothing more.
    host.adapter.notify('still waits')
    expect(host.upstream().types).toBe('PS')
    const last = host.requests.at(-1)
    if (last === undefined) throw new Error('nothing was judged')
    return { host, rule: () => host.adapter.ruled(last.id, permit(last.request)) }
  }

  test('what waits lets go of its Parse, and goes on once that is answered', async () => {
    const { host, rule } = await waiting()
    rule()
    expect(host.upstream().types).toBe('')
    host.adapter.fromUpstream(Buffer.concat([message('1'), ready()]))
    expect(typesOf(host.client())).toBe('NN1')
    expect(host.upstream().types).toBe('BDES')
    const answer = [message('2'), rowDescription(id), complete('SELECT 0'), ready()]
    host.adapter.fromUpstream(Buffer.concat(answer))
    expect(typesOf(host.client())).toBe('2CZ')
    expect(host.closed).toBeUndefined()
  })

  test('what waits and whose Parse fails runs no more, and is in sync behind the client’s Sync', async () => {
    const { host, rule } = await waiting()
    const gone = errorResponse({ severity: 'ERROR', sqlstate: '42P01', message: 'it is gone' })
    host.adapter.fromUpstream(Buffer.concat([gone, ready()]))
    expect(typesOf(host.client())).toBe('NNE')
    rule()
    expect(host.upstream().types).toBe('S')
    expect(host.deliveries).toMatchObject([{ done: true, error: { sqlstate: '25P02' } }])
    host.adapter.fromUpstream(ready())
    expect(typesOf(host.client())).toBe('Z')
  })
})
