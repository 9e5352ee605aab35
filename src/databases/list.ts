// Owns the list of database products. Adding one is its own file and one line here.

import { PGVECTOR } from './pgvector.js'
import type { Database } from './types.js'

/** Every product, by the name that `targets.X.database` uses. */
export const DATABASES: ReadonlyMap<string, Database> = new Map([[PGVECTOR.name, PGVECTOR]])

/** The product of this name, or undefined. */
export function findDatabase(name: string): Database | undefined {
  return DATABASES.get(name)
}

/** Every action name that some product knows: what policy may write in `operations:`. */
export const KNOWN_ACTIONS: ReadonlySet<string> = new Set(
  [...DATABASES.values()].flatMap((database) => database.actions),
)
