import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import {
  type Adapter,
  type AdapterHost,
  DEFAULT_LIMITS,
  type Question,
} from '../../../src/core/adapter.js'
import type { VgateError } from '../../../src/core/errors.js'
import { createMasker } from '../../../src/masking/masker.js'
import { Connection, type ConnectionSession } from '../../../src/proxy/connection.js'

const notHere = (): never => {
  throw new Error('not here')
}

const LOAD: Question = { kind: 'load', key: 'k', maxAgeMs: 1, load: async () => undefined }
const nothing = (): void => undefined

/** A connection whose adapter only notes what it is told. */
function connection(over: Partial<ConnectionSession>) {
  const told: unknown[] = []
  let host: AdapterHost | undefined
  const adapter: Adapter = {
    fromClient: nothing,
    fromUpstream: nothing,
    clientEnded: nothing,
    upstreamReady: nothing,
    upstreamFailed: nothing,
    ruled: (id, ruling) => told.push(['ruled', id, ruling.verdict]),
    answered: (id, answer) => told.push(['answered', id, answer.ok && answer.value]),
    notify: nothing,
    terminate: (error) => told.push(['terminate', error.code]),
    cancelKey: undefined,
    congested: false,
  }
  const closed = new Promise<VgateError | undefined>((resolve) => {
    const session: ConnectionSession = {
      family: {
        createAdapter: (_context, given) => {
          host = given
          return adapter
        },
        createLogin: notHere,
        createCancel: notHere,
        prepare: async () => undefined,
        users: { invent: notHere, create: notHere, drop: notHere },
      },
      context: {
        databaseName: 'vectors',
        secret: { iterations: 1, salt: '', storedKey: '', serverKey: '' },
        masker: createMasker({ hashKey: Buffer.alloc(32) }),
        limits: DEFAULT_LIMITS,
      },
      handshakeMs: 60_000,
      judge: () => ({ verdict: 'permit', obligations: [] }),
      delivered: nothing,
      flush: nothing,
      known: () => undefined,
      answer: async () => undefined,
      dial: () => new Promise(nothing),
      cancel: nothing,
      cancelOther: nothing,
      closed: (_id, error) => resolve(error),
      ...over,
    }
    new Connection('con_1', session, new Duplex({ read: nothing, write: (_b, _e, done) => done() }))
  })
  if (host === undefined) throw new Error('no adapter was made')
  return { host, told, closed }
}

const REQUEST = { phase: 'execute', operations: [], text: '', form: 'simple' } as const

test('a ruling that cannot be had ends the connection alone', async () => {
  const { host, told, closed } = connection({
    judge: () => Promise.reject(new Error('planted')),
  })
  host.judge(1, REQUEST)
  expect((await closed)?.code).toBe('VGATE_UNEXPECTED')
  expect(told).toEqual([['terminate', 'VGATE_UNEXPECTED']])
})

test('what is known is answered before the question returns', () => {
  const { host, told } = connection({ known: () => ({ value: 'at hand' }) })
  host.ask(7, LOAD)
  expect(told).toEqual([['answered', 7, 'at hand']])
})

test('what is not known is found out', async () => {
  const { host, told } = connection({ answer: async () => 'found' })
  host.ask(7, LOAD)
  expect(told).toEqual([])
  await expect.poll(() => told).toEqual([['answered', 7, 'found']])
})
