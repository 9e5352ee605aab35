// Runs every PostgreSQL item of the corpus through a gateway with policy P1. No item may get a weaker verdict
// than stated, leak a marker or change what it must not; those that get a stricter one are listed in
// test/corpus/stricter.yaml, so that loosening and tightening both show. Items are never removed.

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { visible } from '../../src/cli/output.js'
import { bodyOf } from '../../src/control/request-rules.js'
import {
  type CorpusItem,
  isBypass,
  isStricter,
  leaksIn,
  postgresItems,
  stepsOf,
  type Verdict,
} from '../support/corpus.js'
import { type Control, controlOf } from '../support/corpus-control.js'
import { outcomeOf, runItem } from '../support/corpus-driver.js'
import { canary, observe, twoClients } from '../support/corpus-observe.js'
import { changesBetween, type DatabaseState, stateOf } from '../support/corpus-state.js'
import { startTestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { startTampering } from '../support/postgres-tampering.js'
import { RawPostgres } from '../support/raw-postgres.js'

const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')
const policy = file('policy-p1.yaml')
const stricter: Record<string, Verdict> = parse(file('stricter.yaml')) ?? {}

/** What moves or reorders what stands beside it. */
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

type Gateway = Awaited<ReturnType<typeof startTestGateway>>
type Session = Awaited<ReturnType<Gateway['connectAs']>>

/** A gateway over a clone that nothing has changed yet, and a second session that must not notice anything. */
interface Bench {
  readonly database: string
  readonly admin: pg.Client
  readonly state: DatabaseState
  readonly gateway: Gateway
  readonly witness: RawPostgres
}

describe.skipIf(!hasPostgres('pgvector'))('the corpus through a gateway', () => {
  let server: TestPostgres
  let template: string
  let bench: Bench | undefined
  const observed: Record<string, Verdict> = {}

  const openBench = async (upstream: { host: string; port: number }): Promise<Bench> => {
    const database = await server.createDatabase({ template })
    const admin = await server.connect(database)
    const { superuser, password } = server
    const gateway = await startTestGateway({
      postgres: { ...upstream, superuser, password },
      database,
      policy,
      users: { alice: ['corp:analysts'], dan: ['corp:vector-admins'] },
    })
    const witness = await login(await gateway.connectAs('dan'), 'dan')
    return { database, admin, state: await stateOf(admin), gateway, witness }
  }

  const closeBench = async (): Promise<void> => {
    bench?.witness.end()
    await bench?.admin.end()
    await bench?.gateway.stop()
    bench = undefined
  }

  /** The item straight to a fresh clone, for comparison. */
  const direct = async (item: CorpusItem): Promise<string> => {
    const database = await server.createDatabase({ template })
    const { host, port, superuser: user, password } = server
    const seen = await runItem(item, { host, port, user, password, database })
    seen.connection.end()
    return outcomeOf(seen.replies)
  }

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector', logStatements: true })
    template = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}`,
    })
  })
  afterAll(async () => {
    await closeBench()
    await server.stop()
  })

  it.each(postgresItems().map((item) => [item.id, item] as const))('%s', async (_, item) => {
    const hostile = stepsOf(item).find(
      (step) => typeof step === 'object' && 'upstream_sends' in step,
    )
    const relay =
      typeof hostile === 'object' && 'upstream_sends' in hostile
        ? await startTampering({ ...server, sql: textOf(item), attack: hostile.upstream_sends })
        : undefined
    if (relay) await closeBench()
    const current = bench ?? (await openBench(relay ?? server))
    bench = current
    const session = await current.gateway.connectAs(item.as)
    try {
      const logBefore = server.logSize()
      const log = (): string => server.log(logBefore)
      const control = controlOf(current.gateway, session, log)
      const { seen, verdict } = await send(item, session, control, {
        log,
        direct: () => direct(item),
      })
      for (const request of control.seen.requests)
        expect(await shownToApprovers(current.gateway, request)).not.toMatch(HIDDEN)
      // Whose access was taken away gets no further; the next grant is served as ever.
      const next = control.seen.revoked ? await current.gateway.connectAs(item.as) : session
      const after = seen.closed ? await login(next, item.as) : seen
      const report = {
        observed: verdict,
        leaks: leaksIn(item, seen.received),
        canary: await canary(after),
        witness: await canary(current.witness),
      }
      after.end()
      const changes = changesBetween(current.state, await stateOf(current.admin))
      if (changes.length > 0 || relay) await closeBench()
      expect(report).toMatchObject({ leaks: [], canary: true, witness: true })
      expect(changes.filter((part) => item.must_not_change.some((one) => one === part))).toEqual([])
      expect({ ...report, stated: item.expect, bypass: isBypass(item, verdict) }).toMatchObject({
        bypass: false,
      })
      if (relay) expect(relay.fired).toBe(1)
      if (isStricter(item, verdict)) observed[item.id] = verdict
    } finally {
      await session.close()
      await relay?.stop()
    }
  })

  it('is stricter than stated exactly where the list says so', () => {
    expect(observed).toEqual(stricter)
  })
})

/** The exact text, as `vgate approve` prints it. */
async function shownToApprovers(gateway: Gateway, id: string): Promise<string> {
  const record = await gateway.requests.find(id)
  const body = record && bodyOf(record)
  if (body?.kind !== 'operation') throw new Error(`${id} is no operation`)
  return visible(body.operation.text)
}

function textOf(item: CorpusItem): string {
  for (const step of stepsOf(item)) {
    if (typeof step === 'object' && 'sql' in step && step.sql) return step.sql
  }
  throw new Error(`${item.id} has no statement`)
}

function login(session: Session, user: string): Promise<RawPostgres> {
  const { host, port, password, database } = session
  return RawPostgres.login({ host, port, password, database, user })
}

async function send(
  item: CorpusItem,
  session: Session,
  control: Control,
  from: { readonly log: () => string; readonly direct: () => Promise<string> },
): Promise<{ seen: RawPostgres; verdict: Verdict }> {
  const { host, port, password, database } = session
  const endpoint = { host, port, password, database, user: item.as }
  if (stepsOf(item).some((step) => typeof step === 'object' && 'two_clients' in step)) {
    const { verdict, connection } = await twoClients(endpoint)
    return { seen: connection, verdict }
  }
  const seen = await runItem(item, endpoint, { control, log: from.log })
  expect({ id: item.id, timedOut: seen.timedOut }).toEqual({ id: item.id, timedOut: false })
  const statementLog = from.log()
  const verdict = await observe({
    item,
    seen,
    statementLog,
    holds: control.seen,
    direct: from.direct,
  })
  return { seen: seen.connection, verdict }
}
