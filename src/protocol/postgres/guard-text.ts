// Owns the SQL by which a session's own server proves that what a statement hangs on is still what it was judged
// with (ADR 0023). Every object is named in full. Must never contain anything that is not quoted.

import type { CatalogueUses, Classification, UsedRelation } from './statement.js'

/** Prepared statements and portals of the gateway's own; no client may use such a name. */
export const GUARD_PREFIX = 'vgate_guard_'

/** What all of these hang on together; undefined where it is nothing. */
export function usesOf(found: readonly Pick<Classification, 'uses'>[]): CatalogueUses | undefined {
  const all = found.flatMap(({ uses }) => uses ?? [])
  if (all.length < 2) return all[0]
  const relations = new Map(all.flatMap((one) => one.relations.map((each) => [each.oid, each])))
  return {
    relations: [...relations.values()].sort((a, b) => a.oid - b.oid),
    names: Object.assign({}, ...all.map(({ names }) => names)),
    path: all[0]?.path ?? [],
    ...(all.some(({ temporary }) => temporary) ? { temporary: true } : {}),
  }
}

/** Versions of relations as VERSIONS_QUERY answers them. */
export function versionsOf(relations: readonly UsedRelation[]): string {
  return relations.map(({ oid, version }) => `${oid} ${version}`).join(';')
}

const KEYS = new WeakMap<CatalogueUses, string>()

/** One text for all that is guarded together, another one as soon as any of it is defined otherwise. */
export function guardKey(uses: CatalogueUses): string {
  const known = KEYS.get(uses)
  if (known !== undefined) return known
  const key = `${versionsOf(uses.relations)}|${namesKey(uses)}|${JSON.stringify(uses.path)}`
  KEYS.set(uses, key)
  return key
}

/** What the names of a statement mean. */
export function namesKey(uses: CatalogueUses | undefined): string {
  const names = Object.entries(uses?.names ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return names.map(([name, oid]) => `${name} ${oid}`).join(';')
}

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const schemas = (path: readonly string[]): string =>
  `${literal(`{${path.map((name) => `"${name.replace(/["\\]/g, '\\$&')}"`).join(',')}}`)}::pg_catalog.name[]`

/**
 * One row. With NULL: when the server last analysed this text, or NULL where a name means something else now. With
 * that answer as $1: fails where it was analysed again since, or where a name means something else.
 *
 * A literal 'now' becomes a constant as the text is analysed, and the server analyses a prepared text again when
 * anything that it names has been redefined. Common tables that nobody reads are locked and watched, not read.
 */
export function guardText({ relations, names, path }: CatalogueUses): string {
  const from = relations.map(({ schema, name }) => `${identifier(schema)}.${identifier(name)}`)
  const pinned = new Set(from)
  const meanings = Object.entries(names)
    .filter(([name]) => !pinned.has(name))
    .map(([name, oid]) => {
      const found = `pg_catalog.to_regclass(${literal(name)})`
      return oid === 0
        ? `${found} IS NULL`
        : `${found}::pg_catalog.oid OPERATOR(pg_catalog.=) '${oid}'::pg_catalog.oid`
    })
  const along = `pg_catalog.current_schemas(false) OPERATOR(pg_catalog.=) ${schemas(path)}`
  const meant = [along, ...meanings].join(' AND ')
  const now = `'now'::pg_catalog.timestamptz`
  const used = from.length === 0 ? '' : `WITH used AS (SELECT FROM ${from.join(', ')}) `
  return `/* vgate: is what the next statement uses still what it was? */ ${used}SELECT CASE
 WHEN $1 IS NULL THEN CASE WHEN ${meant} THEN ${now} END
 WHEN 1 OPERATOR(pg_catalog./) ($1 OPERATOR(pg_catalog.=) ${now} AND ${meant})::pg_catalog.int4
 OPERATOR(pg_catalog.=) 1 THEN ${now} END`
}
