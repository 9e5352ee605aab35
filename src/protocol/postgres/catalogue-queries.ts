// Owns the side queries that read a database's catalogue (PostgreSQL 13–18, PGlite). They only read pg_catalog,
// name every object in full and must never run anything that a client chose.

const equal = 'OPERATOR(pg_catalog.=)'
const text = '::pg_catalog.text'
const oneOf = (values: string): string => `OPERATOR(pg_catalog.=) ANY ('{${values}}')`
const noneOf = (values: string): string => `OPERATOR(pg_catalog.<>) ALL ('{${values}}')`

/** Names of schemas and extensions. */
const NAMED = `(SELECT pg_catalog.json_agg(n.nspname) FROM pg_catalog.pg_namespace n)${text},
 (SELECT pg_catalog.json_agg(e.extname) FROM pg_catalog.pg_extension e)${text}`
const SEARCHED = `pg_catalog.array_to_json(pg_catalog.current_schemas(false))${text}, current_user${text}`

/** Search path and user of the gateway's own connection; names of schemas, extensions and built-in types. */
export const SESSION_QUERY = `SELECT ${SEARCHED}, ${NAMED},
 (SELECT pg_catalog.json_agg(DISTINCT t.typname) FROM pg_catalog.pg_type t
   WHERE t.typnamespace ${equal} 11::pg_catalog.oid AND t.typrelid ${equal} 0::pg_catalog.oid)${text}`

/** Count and sum of hashes over the versions of rows: xmin and ctid name one version (PostgreSQL docs, "System Columns"). */
const versionOf = (table: string, where = 'true', more = ''): string =>
  `(SELECT pg_catalog.concat(pg_catalog.count(*), ' ',
 pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(x.ctid, x.xmin${more}), 0)))
 FROM pg_catalog.${table} x WHERE ${where})`

const ofRelation = (column: string): string => `x.${column} OPERATOR(pg_catalog.=) c.oid`

/** The triggers that act in place of a view. */
const INSTEAD = `(x.tgtype OPERATOR(pg_catalog.&) '64'::pg_catalog.int2) OPERATOR(pg_catalog.<>) '0'::pg_catalog.int2`

const FOREIGN = `x.contype OPERATOR(pg_catalog.=) 'f'`
const CHECK = `x.contype OPERATOR(pg_catalog.=) 'c'`
/** The constraints that are read here; those of unique keys are read as indexes. */
const CONSTRAINT = `x.contype ${oneOf('f,c')}`

/**
 * What changes with the definition of relation `c` of schema `n`: its name, kind and rules, columns, indexes, foreign
 * keys, checks, parents and children, triggers of a view. Not with TRUNCATE or ANALYZE.
 */
const RELATION_VERSION = `pg_catalog.concat_ws('/', n.nspname, c.relname, c.relkind, c.relhasrules,
 ${versionOf('pg_attribute', ofRelation('attrelid'))}, ${versionOf('pg_index', ofRelation('indrelid'))},
 ${versionOf('pg_constraint', `${ofRelation('conrelid')} AND ${CONSTRAINT}`)},
 ${versionOf('pg_rewrite', ofRelation('ev_class'))}, ${versionOf('pg_inherits', ofRelation('inhrelid'))},
 ${versionOf('pg_inherits', ofRelation('inhparent'))},
 CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'v' THEN
 ${versionOf('pg_trigger', `${ofRelation('tgrelid')} AND ${INSTEAD}`)} END)`

/** Schemas of the database's own; their names are written in no other way. */
const SYSTEM = 'pg_catalog,information_schema'
const notToast = (schema: string): string =>
  `NOT pg_catalog.starts_with(${schema}${text}, 'pg_toast') AND NOT pg_catalog.starts_with(${schema}${text}, 'pg_temp')`
const isView = `c.relkind ${oneOf('v,m')}`

/** Of each unique or exclusion index: the columns of its key, those in its expressions and condition too. */
const UNIQUE = `(SELECT pg_catalog.json_agg(g.attributes) FROM (
   SELECT pg_catalog.json_agg(DISTINCT k.attribute) AS attributes FROM pg_catalog.pg_index i, LATERAL (
   SELECT u.attribute::pg_catalog.int4 AS attribute FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(attribute, at)
     WHERE u.at OPERATOR(pg_catalog.<=) i.indnkeyatts UNION ALL
   SELECT d.refobjsubid FROM pg_catalog.pg_depend d WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
     AND d.classid ${equal} 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid ${equal} i.indexrelid AND d.refclassid ${equal} 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid ${equal} i.indrelid) k
   WHERE i.indrelid ${equal} c.oid AND (i.indisunique OR i.indisexclusion) AND k.attribute OPERATOR(pg_catalog.>) 0
   GROUP BY i.indexrelid) g)`

/** Foreign keys: columns, the relation that they refer to, its columns. */
const REFERENCES = `(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(x.conkey, x.confrelid::pg_catalog.int8, x.confkey) ORDER BY x.oid)
   FROM pg_catalog.pg_constraint x WHERE ${ofRelation('conrelid')} AND ${FOREIGN})`

/** Of each check: the columns that it names; 0 is the whole row. */
const CHECKS = `(SELECT pg_catalog.json_agg(x.conkey ORDER BY x.oid)
   FROM pg_catalog.pg_constraint x WHERE ${ofRelation('conrelid')} AND ${CHECK} AND x.conkey IS NOT NULL)`

/**
 * The columns that generated column `a` is computed from; NULL for any other column. Until PostgreSQL 14 the column itself
 * depends on them, from 15 on its entry in pg_attrdef.
 */
const MADE_OF = `CASE WHEN a.attgenerated OPERATOR(pg_catalog.<>) '' THEN (SELECT pg_catalog.json_agg(DISTINCT d.refobjsubid)
   FROM pg_catalog.pg_depend d WHERE d.refclassid ${equal} 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid ${equal} a.attrelid AND d.refobjsubid OPERATOR(pg_catalog.>) 0 AND d.refobjsubid OPERATOR(pg_catalog.<>) a.attnum
   AND (d.classid ${equal} 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid ${equal} a.attrelid AND d.objsubid ${equal} a.attnum
     OR d.classid ${equal} 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid ${equal} a.attrelid AND f.adnum ${equal} a.attnum)))) END`

/** Relations: oid, schema, name, kind, columns, unique keys, parents, definition, rules, table of an index, version, leaf, triggers of a view, columns of unique indexes, foreign keys, checks. */
const relations = (
  definition: string,
  where: string,
): string => `SELECT c.oid${text}, n.nspname${text}, c.relname${text}, c.relkind${text},
 (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attnotnull, a.atttypmod, ${MADE_OF}, a.attgenerated) ORDER BY a.attnum)
   FROM pg_catalog.pg_attribute a WHERE a.attrelid ${equal} c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped)${text},
 (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(i.indkey${text}, i.indnkeyatts))
   FROM pg_catalog.pg_index i WHERE i.indrelid ${equal} c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
   AND i.indpred IS NULL AND i.indexprs IS NULL)${text},
 (SELECT pg_catalog.json_agg(h.inhparent::pg_catalog.int8) FROM pg_catalog.pg_inherits h WHERE h.inhrelid ${equal} c.oid)${text},
 ${definition},
 CASE WHEN c.relkind ${oneOf('r,p,f')} AND c.relhasrules OR c.relkind ${equal} 'v' AND EXISTS (
   SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class ${equal} c.oid AND r.ev_type OPERATOR(pg_catalog.<>) '1') THEN 'rules' END,
 (SELECT i.indrelid${text} FROM pg_catalog.pg_index i WHERE i.indexrelid ${equal} c.oid),
 CASE WHEN n.nspname ${noneOf(SYSTEM)} THEN ${RELATION_VERSION} END,
 CASE WHEN c.relispartition AND c.relkind OPERATOR(pg_catalog.<>) 'p' THEN 'leaf' END,
 CASE WHEN c.relkind ${equal} 'v' THEN
   (SELECT pg_catalog.bit_or(x.tgtype)${text} FROM pg_catalog.pg_trigger x WHERE x.tgrelid ${equal} c.oid AND ${INSTEAD}) END,
 CASE WHEN n.nspname ${noneOf(SYSTEM)} THEN ${UNIQUE} END${text},
 CASE WHEN n.nspname ${noneOf(SYSTEM)} THEN ${REFERENCES} END${text},
 CASE WHEN n.nspname ${noneOf(SYSTEM)} THEN ${CHECKS} END${text}
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${equal} c.relnamespace
 WHERE (c.relkind ${oneOf('r,v,m,f,p,S')} OR (c.relkind ${oneOf('i,I')} AND n.nspname ${noneOf(SYSTEM)}))
 AND ${where}`

/** What is temporary in the session that asks, whose own schema of that kind is there. */
export const TEMPORARY_QUERY = relations('NULL', `n.oid ${equal} pg_catalog.pg_my_temp_schema()`)

export const RELATION_QUERY = relations(
  `CASE WHEN ${isView} AND n.nspname ${noneOf(SYSTEM)} THEN pg_catalog.pg_get_viewdef(c.oid) END`,
  notToast('n.nspname'),
)

const extensionOf = (
  table: string,
  oid: string,
): string => `(SELECT e.extname${text} FROM pg_catalog.pg_depend d
   JOIN pg_catalog.pg_extension e ON e.oid ${equal} d.refobjid WHERE d.classid ${equal} 'pg_catalog.${table}'::pg_catalog.regclass
   AND d.objid ${equal} ${oid} AND d.refclassid ${equal} 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype ${equal} 'e')`

/** Functions: schema, name, volatility, kind, arguments, defaults, variadic, set, result columns, result row type, signature, extension. */
const functions = (
  where: string,
): string => `SELECT n.nspname${text}, p.proname${text}, p.provolatile${text}, p.prokind${text},
 p.pronargs${text}, p.pronargdefaults${text}, (p.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid)${text}, p.proretset${text},
 CASE WHEN p.proargmodes IS NOT NULL THEN (SELECT pg_catalog.json_agg(coalesce(p.proargnames[k], '') ORDER BY k)
   FROM pg_catalog.generate_subscripts(p.proargmodes, 1) k WHERE p.proargmodes[k] ${oneOf('o,b,t')})${text} END,
 CASE WHEN t.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN t.typrelid${text} WHEN t.typtype ${equal} 'p' THEN t.typname${text} END,
 CASE WHEN n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' OR p.proname OPERATOR(pg_catalog.~) '^pg.*advisory'
   THEN pg_catalog.oidvectortypes(p.proargtypes) END,
 CASE WHEN n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' THEN ${extensionOf('pg_proc', 'p.oid')} END
 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${equal} p.pronamespace
 JOIN pg_catalog.pg_type t ON t.oid ${equal} p.prorettype
 WHERE ${where}`

export const FUNCTION_QUERY = functions(
  `(n.nspname OPERATOR(pg_catalog.<>) 'information_schema' OR p.proname ${equal} '_pg_expandarray')`,
)

/** Types outside pg_catalog that are not row types of tables or arrays: oid, schema, name, kind, base type, extension. */
export const TYPE_QUERY = `SELECT t.oid${text}, n.nspname${text}, t.typname${text}, t.typtype${text},
 CASE WHEN t.typbasetype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN t.typbasetype${text} END,
 ${extensionOf('pg_type', 't.oid')},
 (SELECT b.typnamespace ${equal} 11::pg_catalog.oid FROM pg_catalog.pg_type b WHERE b.oid ${equal} t.typbasetype)${text}
 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid ${equal} t.typnamespace
 WHERE n.nspname ${noneOf(SYSTEM)} AND ${notToast('n.nspname')}
 AND t.typtype ${oneOf('b,d,e,r,m,c')} AND t.typcategory OPERATOR(pg_catalog.<>) 'A'
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid ${equal} t.typrelid AND c.relkind OPERATOR(pg_catalog.<>) 'c')`

/** What holds values of other types, as pairs of OIDs: arrays, rows, domains, ranges and their multiranges; of built-in parts bit strings alone. */
export const PART_QUERY = `SELECT x.whole${text}, x.part${text} FROM (
 SELECT t.oid AS whole, t.typelem AS part FROM pg_catalog.pg_type t WHERE t.typcategory ${equal} 'A'
 UNION ALL SELECT t.oid, a.atttypid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid ${equal} t.typrelid
   WHERE t.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
   AND NOT (a.atttypid ${oneOf('1560,1562')} AND a.atttypmod ${equal} 1)
 UNION ALL SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
 UNION ALL SELECT r.rngtypid, r.rngsubtype FROM pg_catalog.pg_range r
 UNION ALL SELECT (pg_catalog.to_jsonb(r) OPERATOR(pg_catalog.->>) 'rngmultitypid')::pg_catalog.oid, r.rngtypid
   FROM pg_catalog.pg_range r) x
 WHERE x.whole IS NOT NULL AND (x.part OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid OR x.part ${oneOf('1560,1561,1562,1563')})`

/** Operators outside pg_catalog: schema, name, operand types, function and its extension. */
export const OPERATOR_QUERY = `SELECT n.nspname${text}, o.oprname${text}, o.oprleft${text}, o.oprright${text},
 pg_catalog.concat(fn.nspname, '.', p.proname, '(', pg_catalog.oidvectortypes(p.proargtypes), ')'),
 ${extensionOf('pg_operator', 'o.oid')}
 FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid ${equal} o.oprnamespace
 JOIN pg_catalog.pg_proc p ON p.oid ${equal} o.oprcode JOIN pg_catalog.pg_namespace fn ON fn.oid ${equal} p.pronamespace
 WHERE n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'`

/**
 * What a session asks in its own connection, where names, operators and types are looked up in the client's path. What
 * the database's own schemas hold is left out; definitions of views lock the tables behind them, so that only those
 * that a statement uses are read. In this order: path, user, schemas, extensions and isolation; relations; functions;
 * types; operators; parts.
 */
export const OWN_QUERIES = [
  `SELECT ${SEARCHED}, ${NAMED}, pg_catalog.current_setting('transaction_isolation')`,
  relations('NULL', `${notToast('n.nspname')} AND n.nspname ${noneOf(SYSTEM)}`),
  functions(`n.nspname ${noneOf(SYSTEM)}`),
  TYPE_QUERY,
  OPERATOR_QUERY,
  PART_QUERY,
] as const

/** Definitions of these views, with their versions, and the search path for which they are written. */
export function viewQuery(oids: readonly number[]): string {
  return `SELECT c.oid${text}, pg_catalog.pg_get_viewdef(c.oid), ${RELATION_VERSION},
 pg_catalog.array_to_json(pg_catalog.current_schemas(false))${text}
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${equal} c.relnamespace
 WHERE c.oid ${oneOf(oids.map(Number).join(','))} AND ${isView}`
}

const NOT_TEMPORARY = (relation: string): string => `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class t
 WHERE t.oid OPERATOR(pg_catalog.=) ${relation} AND t.relpersistence OPERATOR(pg_catalog.=) 't')`

/** Tables that the queries above read, and which of their rows; those of temporary tables come and go. */
const READ: readonly (readonly [table: string, where?: string])[] = [
  ['pg_namespace'],
  ['pg_extension'],
  [
    'pg_type',
    `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) x.typnamespace
 AND pg_catalog.starts_with(n.nspname${text}, 'pg_temp'))`,
  ],
  ['pg_attribute', NOT_TEMPORARY('x.attrelid')],
  ['pg_index', NOT_TEMPORARY('x.indrelid')],
  ['pg_constraint', `${CONSTRAINT} AND ${NOT_TEMPORARY('x.conrelid')}`],
  ['pg_range'],
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
export const VERSION_QUERY = `SELECT ${SEARCHED},
 ${[
   versionOf('pg_class', "x.relpersistence OPERATOR(pg_catalog.<>) 't'", ', x.relhasrules'),
   ...READ.map(([table, where]) => versionOf(table, where)),
 ].join(',\n ')}`

/** Versions of the relations of an array of OIDs, as `guard.ts` compares them, and the isolation level. */
export const VERSIONS_QUERY = `SELECT pg_catalog.string_agg(pg_catalog.concat(c.oid, ' ', ${RELATION_VERSION}), ';' ORDER BY c.oid),
 pg_catalog.current_setting('transaction_isolation')
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])`
