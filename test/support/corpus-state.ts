// Owns what an item may not change: fingerprints of the corpus' tables and of the catalogue, taken over a
// connection straight to the database.

import type pg from 'pg'

export interface DatabaseState {
  readonly notes: string
  readonly docs: string
  readonly catalog: string
  /** Everything else that an item could leave behind. */
  readonly rest: string
}

const rowsOf = (table: string): string =>
  `SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) AS hash FROM ${table} t`

const CATALOGUE = `SELECT md5(string_agg(line, E'\\n' ORDER BY line)) AS hash FROM (
  SELECT concat_ws('|', 'class', c.oid, relname, relkind, relfilenode, relowner, relacl, relrowsecurity) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
  UNION ALL SELECT concat_ws('|', 'column', attrelid, attname, atttypid, attnotnull, attisdropped)
    FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
  UNION ALL SELECT concat_ws('|', 'function', oid, proname, prosrc, proacl) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT concat_ws('|', 'rule', oid, rulename, ev_class) FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT concat_ws('|', 'trigger', oid, tgname) FROM pg_trigger
  UNION ALL SELECT concat_ws('|', 'policy', oid, polname) FROM pg_policy
  UNION ALL SELECT concat_ws('|', 'schema', oid, nspname, nspowner, nspacl) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_t%'
) lines`

const REST = `SELECT md5(concat_ws('|',
  (SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_largeobject_metadata),
  (SELECT string_agg(s::text, ',') FROM pg_db_role_setting s),
  (SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles),
  (SELECT string_agg(spcname, ',' ORDER BY spcname) FROM pg_tablespace),
  (SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension),
  (SELECT string_agg(srvname, ',' ORDER BY srvname) FROM pg_foreign_server),
  (SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots)
)) AS hash`

/** Fingerprints of a database as it stands now. */
export async function stateOf(client: pg.Client): Promise<DatabaseState> {
  const table = async (name: string): Promise<string> => {
    const there = await client.query('SELECT to_regclass($1) IS NOT NULL AS there', [name])
    return there.rows[0].there ? hash(client, rowsOf(name)) : 'gone'
  }
  return {
    notes: await table('public.notes'),
    docs: await table('public.docs'),
    catalog: await hash(client, CATALOGUE),
    rest: await hash(client, REST),
  }
}

async function hash(client: pg.Client, sql: string): Promise<string> {
  const answer = await client.query(sql)
  return String(answer.rows[0]?.hash)
}

/** Names of the parts that differ. */
export function changesBetween(before: DatabaseState, after: DatabaseState): string[] {
  const parts: (keyof DatabaseState)[] = ['notes', 'docs', 'catalog', 'rest']
  return parts.filter((part) => before[part] !== after[part])
}
