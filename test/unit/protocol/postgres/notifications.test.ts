// What other sessions send over channels: given where it is permitted now, dropped where not, never lost unsaid.

import { expect, test } from 'vitest'
import type { JudgeRequest, Ruling } from '../../../../src/core/adapter.js'
import { cstr, i32, message } from '../../../../src/protocol/postgres/wire.js'
import { permit, ScriptedHost, type ScriptOptions } from '../../../support/scripted-host.js'

const refusal = {
  sqlstate: '42501',
  http: 403,
  grpc: 7,
  rule: 'default deny',
  message: 'not allowed',
  hint: 'ask',
}

const on = (channel: string, payload = '7'): Buffer =>
  message('A', i32(1), cstr(channel), cstr(payload))
const times = (count: number, bytes: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes))

async function listener(options: ScriptOptions): Promise<ScriptedHost> {
  const host = new ScriptedHost(options)
  await host.login()
  return host
}

/** Only the channel `orders` may be listened to. */
function judge(request: JudgeRequest): Ruling {
  const named = '$channel.listen(orders)'
  return request.operations.some(
    (one) => 'access' in one && one.functions.some((use) => use !== named),
  )
    ? { verdict: 'deny', refusal }
    : permit(request)
}

/** Rules on everything that waits. */
function rule(host: ScriptedHost, ruling: (request: JudgeRequest) => Ruling): void {
  for (const { id, request } of host.requests.splice(0)) host.adapter.ruled(id, ruling(request))
}

test('one is given only where the role names its channel, and recorded first', async () => {
  const host = await listener({ judge })
  const given = on('orders')
  host.adapter.fromUpstream(Buffer.concat([given, on('people', 'a@b.c')]))
  expect(host.client()).toEqual(given)
  expect(host.deliveries.map(({ rows }) => rows)).toEqual([[['orders', '7']]])
})

test('one can be permitted or denied, and waits for no approval', async () => {
  const host = await listener({ judge })
  host.adapter.fromUpstream(on('orders'))
  // What has no exact form nobody can be asked about: a hold that matches it is a denial.
  expect(host.requests.map(({ request }) => request.exact)).toEqual([undefined])
})

test('however many come that nobody may have, the listener stays', async () => {
  const host = await listener({ judge: () => undefined })
  host.adapter.fromUpstream(Buffer.concat([times(5000, on('people')), on('orders')]))
  expect(host.closed).toBeUndefined()
  expect(host.requests.length).toBeLessThan(2000)
  rule(host, judge)
  expect(host.closed).toBeUndefined()
  expect(host.client()).toEqual(on('orders'))
  // What came later is judged as ever.
  host.adapter.fromUpstream(Buffer.concat([on('people'), on('orders')]))
  rule(host, judge)
  expect(host.client()).toEqual(on('orders'))
})

test('one that is permitted is not lost unsaid: the connection ends', async () => {
  const host = await listener({ judge: () => undefined })
  host.adapter.fromUpstream(Buffer.concat([times(1000, on('people')), on('orders'), on('orders')]))
  expect(host.closed).toBeUndefined()
  rule(host, judge)
  expect(host.closed).toMatchObject({ message: expect.stringContaining('too many notifications') })
})

test('channels without end are no way to fill the memory', async () => {
  const host = await listener({ judge: () => undefined })
  const many = Array.from({ length: 3000 }, (_, number) => on(`channel ${number}`))
  host.adapter.fromUpstream(Buffer.concat(many))
  expect(host.closed).toMatchObject({ message: expect.stringContaining('too many channels') })
})
