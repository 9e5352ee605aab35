// Owns the side queries that read a database's catalogue (PostgreSQL 13–18, PGlite). They only read pg_catalog,
// name every object in full and must never run anything that a client chose.

/** Search path, user and version of the gateway's own connection; names of schemas, extensions and built-in types. */
export const SESSION_QUERY = `SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text, current_user::text,
 (SELECT pg_catalog.json_agg(nspname) FROM pg_catalog.pg_namespace)::text,
 (SELECT pg_catalog.json_agg(extname) FROM pg_catalog.pg_extension)::text,
 (SELECT pg_catalog.json_agg(DISTINCT typname) FROM pg_catalog.pg_type
   WHERE typnamespace OPERATOR(pg_catalog.=) 11::oid AND typrelid OPERATOR(pg_catalog.=) 0::oid)::text`

/** Count and sum of hashes over the versions of rows: xmin and ctid name one version (PostgreSQL docs, "System Columns"). */
const versionOf = (table: string, where = 'true', more = ''): string =>
  `(SELECT pg_catalog.concat(pg_catalog.count(*), ' ',
 pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(x.ctid, x.xmin${more}), 0)))
 FROM pg_catalog.${table} x WHERE ${where})`

const ofRelation = (column: string): string => `x.${column} OPERATOR(pg_catalog.=) c.oid`

/** The triggers that act in place of a view. */
const INSTEAD = `(x.tgtype OPERATOR(pg_catalog.&) '64'::pg_catalog.int2) OPERATOR(pg_catalog.<>) '0'::pg_catalog.int2`

/**
 * What changes with the definition of relation `c` of schema `n`: its name, kind and rules, columns, indexes, parents
 * and children, triggers of a view. Not with TRUNCATE or ANALYZE.
 */
const RELATION_VERSION = `pg_catalog.concat_ws('/', n.nspname, c.relname, c.relkind, c.relhasrules,
 ${versionOf('pg_attribute', ofRelation('attrelid'))}, ${versionOf('pg_index', ofRelation('indrelid'))},
 ${versionOf('pg_rewrite', ofRelation('ev_class'))}, ${versionOf('pg_inherits', ofRelation('inhrelid'))},
 ${versionOf('pg_inherits', ofRelation('inhparent'))},
 CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'v' THEN
 ${versionOf('pg_trigger', `${ofRelation('tgrelid')} AND ${INSTEAD}`)} END)`

/** Relations: oid, schema, name, kind, columns, unique keys, parents, definition, rules, table of an index, version, leaf, triggers of a view. */
export const RELATION_QUERY = `SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text,
 (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::int8, a.attnotnull) ORDER BY a.attnum)
   FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text,
 (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(i.indkey::text, i.indnkeyatts))
   FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
   AND i.indpred IS NULL AND i.indexprs IS NULL)::text,
 (SELECT pg_catalog.json_agg(h.inhparent::int8) FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid)::text,
 CASE WHEN c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   THEN pg_catalog.pg_get_viewdef(c.oid) END,
 CASE WHEN c.relkind IN ('r', 'p', 'f') AND c.relhasrules OR c.relkind = 'v' AND EXISTS (
   SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1') THEN 'rules' END,
 (SELECT i.indrelid::text FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid),
 CASE WHEN n.nspname NOT IN ('pg_catalog', 'information_schema') THEN ${RELATION_VERSION} END,
 CASE WHEN c.relispartition AND c.relkind <> 'p' THEN 'leaf' END,
 CASE WHEN c.relkind = 'v' THEN
   (SELECT pg_catalog.bit_or(x.tgtype)::text FROM pg_catalog.pg_trigger x WHERE x.tgrelid = c.oid AND ${INSTEAD}) END
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE (c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
   OR (c.relkind IN ('i', 'I') AND n.nspname NOT IN ('pg_catalog', 'information_schema')))
 AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'`

/** Functions: schema, name, volatility, kind, arguments, defaults, variadic, set, result columns, result row type, signature, extension. */
export const FUNCTION_QUERY = `SELECT n.nspname::text, p.proname::text, p.provolatile::text, p.prokind::text,
 p.pronargs::text, p.pronargdefaults::text, (p.provariadic <> 0::oid)::text, p.proretset::text,
 CASE WHEN p.proargmodes IS NOT NULL THEN (SELECT pg_catalog.json_agg(coalesce(p.proargnames[k], '') ORDER BY k)
   FROM pg_catalog.generate_subscripts(p.proargmodes, 1) k WHERE p.proargmodes[k] IN ('o', 'b', 't'))::text END,
 CASE WHEN t.typrelid <> 0::oid THEN t.typrelid::text WHEN t.typtype = 'p' THEN t.typname::text END,
 CASE WHEN n.nspname <> 'pg_catalog' THEN pg_catalog.oidvectortypes(p.proargtypes) END,
 CASE WHEN n.nspname <> 'pg_catalog' THEN (SELECT e.extname FROM pg_catalog.pg_depend d
   JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_catalog.pg_proc'::regclass
   AND d.objid = p.oid AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e')::text END
 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
 WHERE n.nspname <> 'information_schema' OR p.proname = '_pg_expandarray'`

/** Types outside pg_catalog that are not row types of tables or arrays: oid, schema, name, kind, base type, extension. */
export const TYPE_QUERY = `SELECT t.oid::text, n.nspname::text, t.typname::text, t.typtype::text,
 CASE WHEN t.typbasetype <> 0::oid THEN t.typbasetype::text END,
 (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
   WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid
   AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e')::text,
 (SELECT b.typnamespace = 11::oid FROM pg_catalog.pg_type b WHERE b.oid = t.typbasetype)::text
 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
 AND n.nspname NOT LIKE 'pg\\_temp%' AND t.typtype IN ('b', 'd', 'e', 'r', 'm', 'c')
 AND t.typcategory <> 'A' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')`

/** Operators outside pg_catalog: schema, name, operand types, function and its extension. */
export const OPERATOR_QUERY = `SELECT n.nspname::text, o.oprname::text, o.oprleft::text, o.oprright::text,
 fn.nspname || '.' || p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')',
 (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
   WHERE d.classid = 'pg_catalog.pg_operator'::regclass AND d.objid = o.oid
   AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e')::text
 FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
 JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode JOIN pg_catalog.pg_namespace fn ON fn.oid = p.pronamespace
 WHERE n.nspname <> 'pg_catalog'`

const NOT_TEMPORARY = (relation: string): string => `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class t
 WHERE t.oid OPERATOR(pg_catalog.=) ${relation} AND t.relpersistence OPERATOR(pg_catalog.=) 't')`

/** Tables that the queries above read, and which of their rows; those of temporary tables come and go. */
const READ: readonly (readonly [table: string, where?: string])[] = [
  ['pg_namespace'],
  ['pg_extension'],
  [
    'pg_type',
    `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) x.typnamespace
 AND pg_catalog.starts_with(n.nspname::text, 'pg_temp'))`,
  ],
  ['pg_attribute', NOT_TEMPORARY('x.attrelid')],
  ['pg_index', NOT_TEMPORARY('x.indrelid')],
  ['pg_inherits'],
  ['pg_rewrite', NOT_TEMPORARY('x.ev_class')],
  ['pg_trigger', `${INSTEAD} AND ${NOT_TEMPORARY('x.tgrelid')}`],
  ['pg_proc'],
  ['pg_operator'],
  ['pg_depend', "x.deptype OPERATOR(pg_catalog.=) 'e'"],
]

/**
 * What changes with anything that the queries above answer: one row, a fraction of their work. VACUUM clears
 * relhasrules without making a new version of the row, so that it is named.
 */
export const VERSION_QUERY = `SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text, current_user::text,
 ${[
   versionOf('pg_class', "x.relpersistence OPERATOR(pg_catalog.<>) 't'", ', x.relhasrules'),
   ...READ.map(([table, where]) => versionOf(table, where)),
 ].join(',\n ')}`

/** Versions of the relations of an array of OIDs, as `guard.ts` compares them, and the isolation level. */
export const VERSIONS_QUERY = `SELECT pg_catalog.string_agg(pg_catalog.concat(c.oid, ' ', ${RELATION_VERSION}), ';' ORDER BY c.oid),
 pg_catalog.current_setting('transaction_isolation')
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])`
