// Owns a session whose recording is what a test looks at: it is played through a test gateway, and read back as stored.

import pg from 'pg'
import { openVerified } from '../../src/audit/read.js'
import type { TestConnection, TestGateway } from './gateway.js'
import { RawPostgres, type Reply } from './raw-postgres.js'
import { encode, type MessageStep } from './raw-postgres-messages.js'
import { storedText } from './stored-text.js'

export interface Played {
  /** Every byte of the recording, and its records as text. */
  readonly text: string
  readonly records: readonly Record<string, unknown>[]
}

/** What a PostgreSQL client needs. */
export type Login = Pick<TestConnection, 'host' | 'port' | 'user' | 'password' | 'database'>

/** Plays one session as this user, to its end. */
export async function playedSession(
  gateway: TestGateway,
  user: string,
  work: (at: TestConnection) => Promise<unknown>,
): Promise<Played> {
  const at = await gateway.connectAs(user)
  await work(at)
  await at.close()
  const records: Record<string, unknown>[] = []
  const opened = await openVerified(at.recording, { keys: 'embedded' })
  for await (const record of opened.records()) records.push(record)
  return { text: storedText(at.recording), records }
}

/** Runs each on one connection, whether it fails or not. Answers rows, or the error's message. */
export async function queries(
  { host, port, user, password, database }: Login,
  statements: readonly (string | pg.QueryConfig)[],
): Promise<unknown[]> {
  const client = new pg.Client({ host, port, user, password, database })
  await client.connect()
  const got: unknown[] = []
  for (const statement of statements)
    got.push(
      await client.query(statement).then(
        ({ rows }) => rows,
        ({ message: said }) => said,
      ),
    )
  await client.end()
  return got
}

/** Sends these messages after a log-in; answers what came up to ReadyForQuery. */
export async function raw(at: Login, steps: readonly (MessageStep | Buffer)[]): Promise<Reply[]> {
  const client = await RawPostgres.login({ ...at, timeoutMs: 60_000 })
  const from = client.replies.length
  client.send(...steps.map((step) => (Buffer.isBuffer(step) ? step : encode(step))))
  const end = await client.waitFor('Z', from)
  client.end()
  const replies = client.replies.slice(from)
  if (end !== 'found') throw new Error(`${end} after ${replies.map(({ type }) => type)}`)
  return replies
}
