// A grant's end against a wall clock that is set forward or back while its session runs.

import { afterEach, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'

const POLICY = `
roles: { reader: { allow: [{ access: read, collections: [docs] }] } }
access: [{ who: { group: team }, role: reader, targets: ["*"] }]
`
const postgres = { host: '127.0.0.1', port: 9, superuser: 'none', password: 'none' }

describe('the end of a grant', () => {
  let gateway: TestGateway
  let ahead = 0

  afterEach(() => gateway.stop())

  const start = async (grantMs: number) => {
    ahead = 0
    const clock = { now: () => Date.now() + ahead }
    const users = { alice: ['corp:team'] }
    gateway = await startTestGateway({
      postgres,
      database: 'x',
      policy: POLICY,
      users,
      clock,
      grantMs,
    })
    return (await gateway.connectAs('alice')).session
  }
  const reasonOf = (id: string) =>
    expect.poll(() => gateway.summaries.get(id)?.reason, { timeout: 4_000, interval: 50 })

  it('comes within a lease when the clock is set forward beyond it', async () => {
    const session = await start(3_600_000)
    ahead = 2 * 3_600_000
    await reasonOf(session.id).toBe('expired')
  })

  it('is not put off by a clock that is set back', async () => {
    const session = await start(500)
    ahead = -3_600_000
    await reasonOf(session.id).toBe('expired')
  })
})
