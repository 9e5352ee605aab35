// Owns the order of credentials, the talk with a platform's token endpoint, and the renewal of a job's login.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTokenSource, type TokenSource } from '../../../src/client/platform-token.js'
import { keepProved, WorkloadLogin } from '../../../src/client/workload-login.js'
import type { Discovery, TokenBody } from '../../../src/core/api.js'
import { VgateError } from '../../../src/core/errors.js'
import { startWorkloadIssuer, type WorkloadIssuer } from '../../support/workload-issuer.js'

const TOKEN = 'e30.e30.AA'
const folder = mkdtempSync(join(tmpdir(), 'vgate-token-'))
const file = join(folder, 'token')
writeFileSync(file, ` ${TOKEN}\n`)
let platform: WorkloadIssuer
beforeAll(async () => {
  platform = await startWorkloadIssuer()
})
afterAll(() => platform.close())

const none = join(folder, 'none')
const find = (env: Record<string, string>, kubernetesFile = none) =>
  findTokenSource({ env, kubernetesFile })

describe('the first source that is there', () => {
  it('follows the contract', async () => {
    const all = {
      VGATE_TOKEN: TOKEN,
      VGATE_TOKEN_FILE: file,
      ...platform.githubEnv,
      VGATE_ID_TOKEN: TOKEN,
    }
    const stdin = await findTokenSource({
      env: all,
      stdin: async () => TOKEN,
      kubernetesFile: file,
    })
    const order = [stdin?.name]
    for (const name of [...Object.keys(all), 'none']) {
      order.push((await find(all, file))?.name)
      Reflect.deleteProperty(all, name)
    }
    order.push((await find({}, none))?.name)
    expect([...new Set(order)]).toEqual([
      '--token-stdin',
      'VGATE_TOKEN',
      'VGATE_TOKEN_FILE',
      'GitHub Actions',
      'VGATE_ID_TOKEN',
      'the projected token',
      undefined,
    ])
  })

  it.each<[Record<string, string>, string]>([
    [{ VGATE_TOKEN: 'secret' }, 'VGATE_TOKEN holds no identity token'],
    [{ VGATE_TOKEN: 'a.b.c d' }, 'VGATE_TOKEN holds no identity token'],
    [{ VGATE_TOKEN: `a.b.${'x'.repeat(70_000)}` }, 'VGATE_TOKEN holds no identity token'],
    [
      {
        ACTIONS_ID_TOKEN_REQUEST_URL: 'http://ci.example.com/',
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'x',
      },
      'ACTIONS_ID_TOKEN_REQUEST_URL that is not https',
    ],
    [
      { ACTIONS_ID_TOKEN_REQUEST_URL: 'file:///etc/passwd', ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'x' },
      'ACTIONS_ID_TOKEN_REQUEST_URL that is not https',
    ],
  ])('%#: is refused without being shown when it is none', async (env, message) => {
    const error = await find(env).then(
      () => expect.fail('was taken'),
      (it: unknown) => it,
    )
    expect(error).toMatchObject({ code: 'VGATE_LOGIN_REQUIRED' })
    expect(String(error)).toContain(message)
    expect(String(error)).not.toContain('secret')
  })

  it('reads a file anew each time, and says when it is gone', async () => {
    const changing = join(folder, 'changing')
    writeFileSync(changing, TOKEN)
    const source = await find({ VGATE_TOKEN_FILE: changing })
    expect(await source?.token('x')).toBe(TOKEN)
    writeFileSync(changing, 'e31.e30.AA')
    expect(await source?.token('x')).toBe('e31.e30.AA')
    await expect((await find({ VGATE_TOKEN_FILE: none }))?.token('x')).rejects.toMatchObject({
      code: 'VGATE_LOGIN_REQUIRED',
      message: expect.stringContaining('cannot be read'),
    })
  })

  it('asks GitHub for the audience, and says when it refuses', async () => {
    const source = await find({ ...platform.githubEnv })
    expect(await source?.token('my audience')).toMatch(/^eyJ/)
    expect(platform.asked.at(-1)).toBe('my audience')
    const wrong = await find({ ...platform.githubEnv, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'other' })
    await expect(wrong?.token('x')).rejects.toMatchObject({
      message: 'GitHub Actions refused to make an identity token (status 401)',
    })
  })
})

const START = Date.parse('2027-01-01T00:00:00Z')
const iso = (at: number): string => new Date(at).toISOString()
const PRINCIPAL: TokenBody['principal'] = {
  id: 'usr_1',
  kind: 'workload',
  provider: 'b',
  issuer: 'https://b',
  subject: 's',
  name: 's',
  groups: [],
}
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A gateway whose clock is `skew` behind this machine's. */
function login(over: { skew?: number; refuse?: VgateError; life?: number } = {}) {
  const clock = { at: START }
  const calls: string[] = []
  const source: TokenSource = {
    name: 'test',
    detected: true,
    fresh: true,
    audience: true,
    token: async (audience) => {
      calls.push(`mint ${audience}`)
      return `e30.${part({ iss: 'https://b' })}.AA`
    },
  }
  const time = () => clock.at - (over.skew ?? 0)
  const discovery = async () => ({
    workloads: [
      { name: 'a', issuer: 'https://a', audience: 'for-a' },
      { name: 'b', issuer: 'https://b', audience: 'for-b' },
    ],
    time: iso(time()),
  })
  const one = new WorkloadLogin(
    source,
    {
      discovery: discovery as () => Promise<Discovery>,
      exchangeWorkload: async () => {
        calls.push('exchange')
        if (over.refuse !== undefined) throw over.refuse
        const expires_at = iso(time() + (over.life ?? 900_000))
        return {
          access_token: `at-${calls.length}`,
          token_type: 'Bearer',
          expires_at,
          principal: PRINCIPAL,
        }
      },
      renewGrant: async (grant) => {
        calls.push(`renew ${grant}`)
        return { proof_until: iso(time() + 300_000) }
      },
    },
    () => clock.at,
  )
  return { clock, calls, one }
}

describe('a job’s login', () => {
  it('mints for the provider of the token’s issuer, keeps the answer, and makes it anew before its end', async () => {
    const { clock, calls, one } = login()
    const first = await Promise.all([one.accessToken(), one.accessToken()])
    expect(calls).toEqual(['mint for-a', 'mint for-b', 'exchange'])
    expect(new Set(first).size).toBe(1)
    clock.at += 839_000
    expect(await one.accessToken()).toBe(first[0])
    clock.at += 1_000
    expect(await one.accessToken()).not.toBe(first[0])
  })

  it('judges ends by the gateway’s clock, not by this machine’s', async () => {
    const { clock, one } = login({ skew: 3_600_000 })
    const first = await one.accessToken()
    clock.at += 800_000
    expect(await one.accessToken()).toBe(first)
    expect(one.left(iso(clock.at - 3_600_000 + 5_000))).toBe(5_000)
  })

  it.each([
    [600_000, 'the clock of this machine is 10 minutes ahead of the gateway’s'],
    [-600_000, 'the clock of this machine is 10 minutes behind the gateway’s'],
  ])('names a clock %d ms off', async (skew, message) => {
    const refuse = new VgateError('VGATE_TOKEN_EXPIRED', 'the token has expired')
    await expect(login({ skew, refuse }).one.accessToken()).rejects.toMatchObject({
      code: 'VGATE_TOKEN_EXPIRED',
      message: `the token has expired; ${message.replace('’', "'")}`,
      hint: expect.stringContaining('the token came from test'),
    })
  })

  it('shows a fresh token for a grant', async () => {
    const { calls, one } = login()
    await one.accessToken()
    calls.length = 0
    expect(await one.renew('grt_1')).toBe(300_000)
    expect(calls).toEqual(['mint for-a', 'mint for-b', 'exchange', 'renew grt_1'])
  })
})

describe('keeping a grant proved', () => {
  const rig = (answers: (number | Error)[]) => {
    const waits: number[] = []
    const timers: (() => void)[] = []
    const stop = keepProved(
      {
        left: () => 300_000,
        renew: async () => {
          const answer = answers.shift() ?? new Error('over')
          if (answer instanceof Error) throw answer
          return answer
        },
      },
      { id: 'grt_1', proof_until: '' },
      (ms, run) => {
        waits.push(Math.round(ms / 1000))
        timers.push(run)
        return () => timers.splice(timers.indexOf(run), 1)
      },
    )
    const turn = async (): Promise<void> => {
      timers.shift()?.()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { waits, timers, stop, turn }
  }

  it('renews two minutes before the end, tries again after a failure, and stops when told', async () => {
    const { waits, timers, stop, turn } = rig([new Error('no network'), 600_000])
    await turn()
    await turn()
    expect(waits).toEqual([180, 30, 480])
    stop()
    expect(timers).toEqual([])
  })

  it('looks again soon at a token that has not been replaced yet', async () => {
    const { waits, turn } = rig([300_000, 900_000])
    await turn()
    await turn()
    expect(waits).toEqual([180, 30, 780])
  })

  it('ends with the last proof', async () => {
    const { timers, turn } = rig([-1])
    await turn()
    expect(timers).toEqual([])
  })
})
