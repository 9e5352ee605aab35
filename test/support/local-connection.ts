// Owns how a test gets to the local port of a running `connect`: start it, wait for `ready`, and the settings of a
// PostgreSQL client for it.

import pg from 'pg'
import type { Product, Running } from './product.js'

export interface LocalConnection {
  readonly running: Running
  /** The `ready` event. */
  readonly ready: Record<string, unknown>
  /** For `new pg.Client`. */
  readonly at: pg.ClientConfig
}

/** Starts `connect prod-vectors` as this person and waits until it is ready. */
export async function connectLocally(
  product: Product,
  person: string,
  more: readonly string[] = [],
): Promise<LocalConnection> {
  const running = product.start(person, ['connect', 'prod-vectors', '--json', ...more])
  const ready = await running.event('ready')
  return { running, ready, at: settingsOf(ready) }
}

/** What a PostgreSQL client needs for the local port of a `ready` event. */
export function settingsOf(ready: Record<string, unknown>): pg.ClientConfig {
  const env = ready['env'] as Record<string, string>
  return {
    host: String(ready['host']),
    port: Number(ready['port']),
    user: env['PGUSER'],
    password: env['PGPASSWORD'],
    database: env['PGDATABASE'],
  } as pg.ClientConfig
}

/** A connected client that may be cut: its errors reach the query that waits, and nobody else. */
export async function openClient(at: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(at)
  client.on('error', () => undefined)
  await client.connect()
  return client
}
