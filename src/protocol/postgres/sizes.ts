// Owns how many rows each collection has, as the database itself estimates it. What it does not know is not guessed.

import type { Question, SideQuery } from '../../core/adapter.js'
import { collectionName } from './catalogue.js'

/** How long an estimate is used. */
const SIZES_MAX_AGE_MS = 60_000

/**
 * Rows by the planner's statistics, or by what the database has counted since where it was never analysed; of a
 * partitioned table those of its partitions. A view has none of its own.
 */
const SIZE_QUERY = `SELECT n.nspname::text, c.relname::text, c.relkind::text,
 CASE WHEN c.relkind = 'p' THEN (SELECT pg_catalog.sum(CASE WHEN l.reltuples > 0 THEN l.reltuples::float8
     ELSE pg_catalog.pg_stat_get_live_tuples(l.oid)::float8 END)
   FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid OPERATOR(pg_catalog.=) t.relid::oid WHERE t.isleaf)
  WHEN c.reltuples > 0 THEN c.reltuples::float8
  ELSE pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 END::text
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'`

async function load(query: SideQuery): Promise<ReadonlyMap<string, number | 'made of others'>> {
  const rows = await query(SIZE_QUERY)
  return new Map(
    rows.map(([schema, name, kind, size]) => {
      const count = Math.floor(Number(size ?? 0))
      const known = Number.isSafeInteger(count) && count > 0 ? count : 0
      return [
        collectionName(schema ?? '', name ?? ''),
        kind === 'v' ? ('made of others' as const) : known,
      ]
    }),
  )
}

/** Rows by collection, shared by all connections to a target. */
export const SIZES: Extract<Question, { kind: 'load' }> = {
  kind: 'load',
  key: 'sizes',
  maxAgeMs: SIZES_MAX_AGE_MS,
  load,
}
