// Runs every PostgreSQL item of the corpus through a gateway with policy P1. No item may get a weaker verdict
// than stated, leak a marker or change what it must not; those that get a stricter one are listed in
// test/corpus/stricter.yaml, so that loosening and tightening both show. Items are never removed.

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import {
  type CorpusItem,
  isBypass,
  isStricter,
  leaksIn,
  postgresItems,
  stepsOf,
  type Verdict,
} from '../support/corpus.js'
import { outcomeOf, runItem, type Transcript } from '../support/corpus-driver.js'
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
      deniers: 'corp:vector-approvers',
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
      const { seen, verdict } = await send(item, session, async (transcript) =>
        observe({
          item,
          seen: transcript,
          statementLog: server.log(logBefore),
          direct: () => direct(item),
        }),
      )
      const after = seen.closed ? await login(session, item.as) : seen
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
  judge: (seen: Transcript) => Promise<Verdict>,
): Promise<{ seen: RawPostgres; verdict: Verdict }> {
  const { host, port, password, database } = session
  const endpoint = { host, port, password, database, user: item.as }
  if (stepsOf(item).some((step) => typeof step === 'object' && 'two_clients' in step)) {
    const { verdict, connection } = await twoClients(endpoint)
    return { seen: connection, verdict }
  }
  const seen = await runItem(item, endpoint)
  expect({ id: item.id, timedOut: seen.timedOut }).toEqual({ id: item.id, timedOut: false })
  return { seen: seen.connection, verdict: await judge(seen) }
}
