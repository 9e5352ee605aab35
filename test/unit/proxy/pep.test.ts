import { describe, expect, it } from 'vitest'
import type { JudgeRequest, Refusal, Ruling } from '../../../src/core/adapter.js'
import { VgateError } from '../../../src/core/errors.js'
import type { Operation } from '../../../src/core/operation.js'
import { type Principal, principalId } from '../../../src/core/principal.js'
import { KNOWN_ACTIONS } from '../../../src/databases/list.js'
import { compilePolicy } from '../../../src/policy/compile.js'
import { loadPolicy } from '../../../src/policy/schema.js'
import { Decisions } from '../../../src/proxy/decisions.js'
import { Pace } from '../../../src/proxy/pace.js'
import { enforce, type HoldPort, type IntentLog, type Judgement } from '../../../src/proxy/pep.js'
import type { Standing } from '../../../src/proxy/standing.js'

const POLICY = compilePolicy(
  loadPolicy(
    `
roles:
  writer: { allow: [{ access: write, collections: [docs] }], deny: [{ operations: [insert] }] }
access: [{ who: { group: team }, role: writer, targets: [t] }]
holds: [{ name: big, match: { risk: [bulk-delete] }, approval: { by: [team], count: 1, expires: 15m } }]
`,
    'policy.yaml',
  ),
  { actions: [...KNOWN_ACTIONS], peopleProviders: ['corp'] },
)

const PRINCIPAL: Principal = {
  id: principalId('https://id.test', 'alice'),
  kind: 'person',
  provider: 'corp',
  issuer: 'https://id.test',
  subject: 'alice',
  name: 'alice',
  groups: ['corp:team'],
  claims: {},
}

const operation = (
  name: string,
  access: 'read' | 'write',
  effect: Operation['collections'][number]['effect'],
): Operation => ({
  name,
  access,
  collections: [{ collection: 'docs', access, action: name, effect }],
  fields: [],
  returns: { rows: 1, outputs: [] },
  risks: [],
  functions: [],
  text: name,
})
const READ = operation('get', 'read', { kind: 'none' })
const DELETE_ONE = operation('delete', 'write', { kind: 'ids', count: 1 })
const DELETE_ALL = operation('truncate', 'write', { kind: 'all' })
const INSERT = operation('insert', 'write', { kind: 'rows', count: 1 })

const request = (
  operations: JudgeRequest['operations'],
  phase: JudgeRequest['phase'] = 'execute',
): JudgeRequest => ({
  phase,
  operations,
  text: 'text',
  form: 'simple',
})

interface World {
  now: number
  standing: Standing
  log: IntentLog
  intents: { judgement: Judgement; durable: boolean }[]
  denied: { operation: string; refusal: Refusal }[]
  holds: HoldPort
  judge(asked: JudgeRequest, durability?: 'standard' | 'strict'): Ruling | Promise<Ruling>
}

function world(log?: IntentLog['intent']): World {
  const intents: World['intents'] = []
  const denied: World['denied'] = []
  const decisions = new Decisions()
  const pace = new Pace(() => made.now)
  const made: World = {
    now: 1_000,
    intents,
    denied,
    standing: {
      principal: PRINCIPAL,
      grant: {
        id: 'g',
        principal: PRINCIPAL.id,
        target: 't',
        roles: ['writer'],
        startsAt: 0,
        endsAt: 10_000,
      },
      target: { name: 't' },
      policy: POLICY,
      leaseUntil: 5_000,
    },
    log: {
      intent: (id, asked, judgement, durable) => {
        intents.push({ judgement, durable })
        return log?.(id, asked, judgement, durable)
      },
    },
    holds: {
      isAsked: () => false,
      wait: () => Promise.reject(new VgateError('VGATE_APPROVAL_DENIED', 'denied by bob')),
      consume: async () => undefined,
      notRun: () => undefined,
      mayExceed: () => undefined,
    },
    judge: (asked, durability = 'standard') =>
      enforce(
        {
          clock: { now: () => made.now },
          standing: () => made.standing,
          decisions,
          pace,
          budgets: { reserve: () => undefined, notRun: () => undefined },
          log: made.log,
          durability,
          onDenied: (name, refusal) => denied.push({ operation: name, refusal }),
          holds: made.holds,
        },
        7,
        asked,
      ),
  }
  return made
}

describe('enforce', () => {
  it('permits what policy permits, at once for a read, and records it first', () => {
    const here = world()
    expect(here.judge(request([READ]))).toMatchObject({
      verdict: 'permit',
      obligations: [{ record: 'text' }],
    })
    expect(here.intents).toMatchObject([
      { judgement: { verdict: 'permit', rule: 'roles.writer.allow[0]' }, durable: false },
    ])
  })

  it('waits for the disk before a write, and before everything under strict', async () => {
    const here = world(() => Promise.resolve())
    const ruling = here.judge(request([DELETE_ONE]))
    expect(ruling).toBeInstanceOf(Promise)
    expect(await ruling).toMatchObject({ verdict: 'permit' })
    await here.judge(request([READ]), 'strict')
    expect(here.intents.map(({ durable }) => durable)).toEqual([true, true])
  })

  it('denies when one of several operations is denied, and tells it', () => {
    const here = world()
    expect(here.judge(request([READ, INSERT]))).toMatchObject({
      verdict: 'deny',
      refusal: { rule: 'roles.writer.deny[0]', sqlstate: '42501', http: 403, grpc: 7 },
    })
    expect(here.denied).toMatchObject([{ operation: 'get, insert' }])
    expect(here.intents).toMatchObject([{ judgement: { verdict: 'deny' } }])
  })

  it('denies what was not understood', () => {
    const here = world()
    expect(
      here.judge(request([READ, { reason: 'not supported yet: x', text: 'x' }])),
    ).toMatchObject({
      verdict: 'deny',
      refusal: {
        rule: 'default deny',
        message: 'refused: not supported yet: x (rule: default deny)',
      },
    })
  })

  it('refuses what would be held, but lets it be prepared', () => {
    const here = world()
    expect(here.judge(request([DELETE_ALL], 'prepare'))).toMatchObject({ verdict: 'permit' })
    expect(here.intents).toEqual([])
    expect(here.judge(request([DELETE_ALL]))).toMatchObject({
      verdict: 'deny',
      refusal: {
        rule: 'holds.big',
        message: expect.stringContaining('it cannot be approved in this form'),
      },
    })
  })

  it('records a denial of what is only prepared', () => {
    const here = world()
    expect(here.judge(request([INSERT], 'prepare'))).toMatchObject({ verdict: 'deny' })
    expect(here.intents).toHaveLength(1)
  })

  it.each([
    [
      'the grant has ended',
      (here: World) => {
        here.now = 10_000
        here.standing = { ...here.standing, leaseUntil: 20_000 }
      },
      '57P01',
    ],
    [
      'the lease is old',
      (here: World) => {
        here.now = 5_000
      },
      '42501',
    ],
    [
      'the session is over',
      (here: World) => {
        here.standing = { ...here.standing, ended: new VgateError('VGATE_REVOKED', 'revoked') }
      },
      '57P01',
    ],
  ])('denies when %s', (_, change, sqlstate) => {
    const here = world()
    change(here)
    expect(here.judge(request([READ]))).toMatchObject({ verdict: 'deny', refusal: { sqlstate } })
  })

  it('denies when the grant ends while the disk is waited for', async () => {
    let written: () => void = () => undefined
    const here = world(
      () =>
        new Promise((resolve) => {
          written = resolve
        }),
    )
    const ruling = here.judge(request([DELETE_ONE]))
    here.standing = { ...here.standing, ended: new VgateError('VGATE_REVOKED', 'revoked by carol') }
    written()
    expect(await ruling).toMatchObject({
      verdict: 'deny',
      refusal: { message: expect.stringContaining('revoked by carol') },
    })
  })

  it.each([
    [
      'throws',
      () => {
        throw new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the disk is full')
      },
    ],
    [
      'rejects',
      () => Promise.reject(new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the disk is full')),
    ],
  ])('denies when the recording %s', async (_, log) => {
    const here = world(log)
    expect(await here.judge(request([DELETE_ONE]))).toMatchObject({
      verdict: 'deny',
      refusal: { sqlstate: '58030', message: expect.stringContaining('the disk is full') },
    })
  })

  it('denies on any throw, and tells nothing of it', () => {
    const here = world()
    const broken: Operation = {
      ...READ,
      get collections(): never {
        throw new Error('secret detail')
      },
    }
    const ruling = here.judge(request([broken]))
    expect(ruling).toMatchObject({ verdict: 'deny', refusal: { sqlstate: 'XX000' } })
    expect(JSON.stringify(ruling)).not.toContain('secret detail')
  })
})
