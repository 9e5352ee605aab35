// Owns what the house knows of a database product: its family, address, environment and actions.

import type { PostgresProduct } from '../protocol/table.js'

/** Where a target's database is. */
export interface DatabaseAddress {
  readonly host: string
  readonly port: number
  /** The database's own name for the database. */
  readonly databaseName: string
}

/** What a client needs to reach the local port. */
export interface LocalEndpoint {
  readonly host: string
  readonly port: number
  /** The local port's secret; already revealed, for the user's own eyes and environment. */
  readonly secret: string
  readonly databaseName: string
  readonly user: string
}

/** Ready-to-paste code for one client. */
export interface Snippet {
  readonly client: string
  readonly code: string
}

export interface Database {
  readonly name: 'pgvector'
  readonly family: 'postgres'
  readonly endpoints: readonly ['postgres']
  readonly defaultPort: number
  /** Names that policy may use in `operations:`. */
  readonly actions: readonly string[]
  readonly product: PostgresProduct
  /** Reads `targets.X.address`. Throws VGATE_CONFIG_INVALID. */
  parseAddress(url: string): DatabaseAddress
  /** Environment variables of the product's own clients. */
  environment(endpoint: LocalEndpoint): Record<string, string>
  connectionString(endpoint: LocalEndpoint): string
  snippets(endpoint: LocalEndpoint): readonly Snippet[]
}
