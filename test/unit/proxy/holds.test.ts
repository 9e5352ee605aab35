// What a session says and records of requests that wait, with an authority whose answers the test chooses.

import { beforeEach, describe, expect, it } from 'vitest'
import type { RecordBody } from '../../../src/audit/records.js'
import type { JudgeRequest } from '../../../src/core/adapter.js'
import type { ApprovalStanding, PreviewCount } from '../../../src/core/approval.js'
import type { Authority } from '../../../src/core/authority.js'
import { VgateError } from '../../../src/core/errors.js'
import { Holds } from '../../../src/proxy/holds.js'

const QUESTION = {
  digest: 'd',
  terms: [
    { rule: 'holds.big', by: ['corp:owners'], count: 1, expiresMs: 60_000, inTransactionMs: 0 },
  ],
  rule: 'holds.big',
  reason: 'it is big',
  risks: [],
}
const REQUEST: JudgeRequest = { phase: 'execute', operations: [], text: 'DELETE', form: 'simple' }

const standing = (request: string, state: ApprovalStanding['state']): ApprovalStanding => ({
  request,
  digest: 'd',
  state,
  expiresAt: Date.now() + 60_000,
  approvers: ['corp:owners'],
  url: 'https://vgate.example/r',
  preview: [],
  approvedBy: [],
})

let records: (RecordBody & { state?: string; request?: string })[]
let opened: number
let count: () => Promise<readonly PreviewCount[]>
let holds: Holds

/** Each question is a new request: req_1, req_2, … */
const authority = {
  requestApproval: async () => {
    opened += 1
    return standing(`req_${opened}`, 'open')
  },
} as unknown as Authority

beforeEach(() => {
  records = []
  opened = 0
  count = async () => []
  holds = new Holds(
    {
      session: 'ses_1',
      authority,
      now: () => Date.now(),
      append: (body) => records.push(body as (typeof records)[number]),
      count: () => count(),
      notify: () => undefined,
      events: { held: () => undefined, released: () => undefined },
      report: () => undefined,
    },
    [],
  )
})

const wait = (request: JudgeRequest = REQUEST): Promise<unknown> =>
  holds
    .port('con_1')
    .wait(1, request, QUESTION)
    .catch((error: unknown) => error)
const asked = (request: string): Promise<unknown> =>
  expect
    .poll(() => records.some((one) => one.type === 'hold.opened' && one.request === request))
    .toBe(true)
const ends = (): unknown[] =>
  records
    .filter((one) => one.type === 'hold.answered')
    .map(({ request, state }) => [request, state])

describe('every request that a recording opens is answered in it', () => {
  it('when another run of the same used the approval up, and this one asks anew', async () => {
    const waiting = wait()
    await asked('req_1')
    holds.update(standing('req_1', 'consumed'))
    await asked('req_2')
    holds.update(standing('req_2', 'approved'))
    expect(await waiting).toBe('req_2')
    expect(ends()).toEqual([
      ['req_1', 'consumed'],
      ['req_2', 'approved'],
    ])
  })

  it('when the client gives up after the approval, while it is counted again', async () => {
    const waiting = wait()
    await asked('req_1')
    let counting = false
    count = () => {
      counting = true
      return new Promise(() => undefined)
    }
    holds.update(standing('req_1', 'approved'))
    await expect.poll(() => counting).toBe(true)
    expect(holds.cancel('con_1')).toBe(true)
    expect(await waiting).toMatchObject({ code: 'VGATE_CANCELLED' })
    expect(ends()).toEqual([['req_1', 'given up']])
  })

  it('when counting again fails', async () => {
    const waiting = wait()
    await asked('req_1')
    count = () => Promise.reject(new VgateError('VGATE_UNEXPECTED', 'no count'))
    holds.update(standing('req_1', 'approved'))
    expect(await waiting).toMatchObject({ message: 'no count' })
    expect(ends()).toEqual([['req_1', 'given up']])
  })
})

it('in an open transaction names the request that waits, not one of the same text that is over', async () => {
  holds.update(standing('req_0', 'consumed'))
  const failed = await wait({ ...REQUEST, inTransaction: true })
  expect(failed).toMatchObject({
    code: 'VGATE_APPROVAL_PENDING',
    message: expect.stringContaining('request req_1 still waits'),
  })
})
