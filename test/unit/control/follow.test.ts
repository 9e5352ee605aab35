// Reading a recording while it is written, at the control API: who may, how often it is audited, and when it ends.

import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { FOLLOWED_MAX } from '../../../src/control/routes/follow.js'
import { grantBody } from '../../../src/core/api.js'
import { FollowReader } from '../../../src/core/follow-frames.js'
import { buildFile, testPair } from '../../support/recording-files.js'
import { setup } from './control-fixture.js'

async function withSession() {
  const world = await setup()
  const ana = await world.login('ana', ['data'])
  const answer = await world.call('POST', '/v1/grants', ana, { target: 'prod' })
  const { principal } = await world.tokens.verify(ana)
  const { session } = await world.authority.openSession({
    grant: grantBody.parse(answer.json).grant.id,
    principal: principal.id,
    client: { version: '1', platform: 'linux', command: 'connect' },
  })
  const { bytes, blocks } = buildFile(testPair(1), session, [
    'open',
    ['1'],
    'open',
    ['2'],
    'closed',
  ])
  const signed = bytes.length - (blocks[3]?.length ?? 0) - (blocks[4]?.length ?? 0)
  const path = join(world.directory, `${session}.vgr`)
  writeFileSync(path, bytes.subarray(0, signed + 10))
  const follow = (token: string, query = '') =>
    world.send('GET', `/v1/sessions/${session}/recording/follow${query}`, {
      headers: { authorization: `Bearer ${token}` },
    })
  const readings = () => world.log.filter(({ body }) => body.type === 'recording.read')
  return { ...world, ana, session, bytes, signed, path, follow, readings }
}

/** Reads an answer until it ends, or the function says enough. */
async function read(answer: Response, enough: (bytes: number) => boolean = () => false) {
  const parts: Buffer[] = []
  let alive = 0
  const reader = new FollowReader({
    bytes: async (part) => void parts.push(part),
    alive: () => {
      alive += 1
    },
  })
  let length = 0
  for await (const chunk of answer.body ?? []) {
    await reader.take(Buffer.from(chunk))
    length = parts.reduce((sum, part) => sum + part.length, 0)
    if (alive > 0 && enough(length)) break
  }
  return { bytes: Buffer.concat(parts), end: reader.end, alive }
}

it('sends what is final, a sign of life, then the rest until it is closed: one record in the log', async () => {
  const { follow, ana, bytes, signed, path, readings, session } = await withSession()
  let grown = false
  const all = await read(await follow(ana), (length) => {
    if (!grown) {
      expect(length).toBe(signed)
      appendFileSync(path, bytes.subarray(signed + 10))
      grown = true
    }
    return false
  })
  expect(all).toMatchObject({ bytes, end: 'over' })
  expect(readings()).toMatchObject([{ sync: true, body: { session, how: 'replay' } }])
})

it('is for the owner and auditors, like the recording, and nothing is sent that the log cannot take', async () => {
  const { follow, login, send, session, ana, audit } = await withSession()
  expect((await follow(await login('bob', ['data', 'platform']))).status).toBe(404)
  const eve = await follow(await login('eve', ['security']))
  expect((await read(eve, () => true)).alive).toBe(1)
  const path = `/v1/sessions/${session}/recording/follow`
  expect((await send('GET', path)).status).toBe(401)
  const headers = { authorization: `Bearer ${ana}` }
  expect((await send('HEAD', path, { headers })).status).toBe(405)
  expect((await follow(ana, '?from=-1')).status).toBe(400)
  audit.broken = true
  expect((await follow(ana)).status).toBe(503)
})

it('asks for a new token when the old one ends, and goes on without a second record', {
  timeout: 30_000,
}, async () => {
  const { follow, login, ana, clock, signed, bytes, path, readings } = await withSession()
  const answer = await follow(ana)
  clock.at += 16 * 60_000
  expect(await read(answer)).toMatchObject({ end: 'again', bytes: bytes.subarray(0, signed) })
  const renewed = await login('ana', ['data'])
  // Another place than where it stopped is another reading, and so is one that goes on twice.
  const reads = async (from: number): Promise<number> => {
    await read(await follow(renewed, `?from=${from}`), () => true)
    return readings().length
  }
  expect(await reads(signed - 1)).toBe(2)
  appendFileSync(path, bytes.subarray(signed + 10))
  const rest = await read(await follow(renewed, `?from=${signed}`))
  expect(rest).toMatchObject({ end: 'over', bytes: bytes.subarray(signed) })
  expect(readings()).toHaveLength(2)
  expect(await reads(signed)).toBe(3)
})

it('ends for who was revoked meanwhile, and with a session whose recording could not be closed', {
  timeout: 30_000,
}, async () => {
  const { follow, ana, login, store, tokens, session, bytes, signed } = await withSession()
  const eve = await login('eve', ['security'])
  const ended = [read(await follow(ana)), read(await follow(eve))]
  await store.revokeLogin((await tokens.verify(ana)).jti)
  const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0, reason: 'error' } as const
  await store.closeSession({ session, ...totals, recording: { records: 1, head: 'ff' } })
  const [revoked, over] = await Promise.all(ended)
  expect(revoked).toMatchObject({ end: 'again' })
  expect((await follow(ana)).status).toBe(401)
  expect(over).toMatchObject({ end: 'over', bytes: bytes.subarray(0, signed + 10) })
})

it('lets nobody hold more than a few open, and frees them', async () => {
  const { follow, ana } = await withSession()
  const open = await Promise.all(Array.from({ length: FOLLOWED_MAX }, () => follow(ana)))
  expect((await follow(ana)).status).toBe(429)
  await Promise.all(open.map((answer) => answer.body?.cancel()))
  const again = await follow(ana)
  expect(again.status).toBe(200)
  await again.body?.cancel()
})
