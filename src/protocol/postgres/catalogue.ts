// Owns the snapshot of a database's catalogue that SQL is judged against. It is built once from rows and never
// changes; it must never guess: a name that is not in it is unknown.

import { CATALOG, TEMPORARY } from '../../core/operation.js'
import type { Catalogue, ColumnOrigin } from './statement.js'

/** One column of a relation. */
export interface RelationColumn {
  readonly attribute: number
  readonly name: string
  readonly typeOid: number
  readonly notNull: boolean
  readonly vector: boolean
  /** Of a generated column: names of the columns that it is computed from. */
  readonly madeOf?: readonly string[]
  /** Its value was computed when it was written. */
  readonly stored?: boolean
}

/** What a trigger can stand for. */
export type TriggerEvent = 'insert' | 'update' | 'delete'

/** The columns of a foreign key, and where the values of each are looked for, by attribute number. */
export interface Reference {
  readonly columns: readonly string[]
  readonly relation: number
  readonly attributes: readonly number[]
}

/** A table, view, sequence or index. */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** pg_class.relkind: r p v m f S i I. */
  readonly kind: string
  /** The name that policy knows it by. */
  readonly collection: string
  /** In pg_catalog or information_schema. */
  readonly system: boolean
  readonly columns: readonly RelationColumn[]
  /** Unique keys whose columns are all NOT NULL: column names. */
  readonly keys: readonly (readonly string[])[]
  /**
   * Columns of which a write tells whether their values are there together: of each unique or exclusion index those of its
   * key, its expressions and its condition, and those that a generated one of them is computed from.
   */
  readonly unique: readonly (readonly string[])[]
  /** Columns whose values must be in another relation: foreign keys. */
  readonly references: readonly Reference[]
  /** Columns of which a check asks, and those that a generated one of them is computed from. */
  readonly checks: readonly (readonly string[])[]
  readonly parents: readonly number[]
  /** The query of a view or materialised view. */
  readonly definition: string | undefined
  /** It is a view whose definition has not been read. */
  readonly unread: boolean
  /** Of a view: others than the one that makes it a view. */
  readonly hasRules: boolean
  /** What triggers of a view do in its place. */
  readonly insteadOf: readonly TriggerEvent[]
  /** The table of an index. */
  readonly indexOf: number | undefined
  /** What changes with its definition: see RELATION_VERSION. */
  readonly version: string
  /** A partition that cannot have tables below it. */
  readonly leaf: boolean
}

/** A function, aggregate or procedure. */
export interface Routine {
  readonly schema: string
  readonly name: string
  /** i, s or v. */
  readonly volatility: string
  /** f, a, w or p. */
  readonly kind: string
  readonly minimumArguments: number
  readonly maximumArguments: number
  readonly returnsSet: boolean
  /** Names of the result's columns where it has OUT arguments or RETURNS TABLE. */
  readonly outputs: readonly string[] | undefined
  /** Relation whose row type it returns. */
  readonly rowOf: number | undefined
  /** Pseudo-type that it returns, e.g. `record`, `anyelement`. */
  readonly pseudo: string | undefined
  /** `schema.name(type,…)`. */
  readonly signature: string
  readonly extension: string | undefined
}

/** A type outside pg_catalog. */
export interface UserType {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** pg_type.typtype. */
  readonly kind: string
  readonly base: number | undefined
  /** The base type of a domain is one of pg_catalog. */
  readonly baseIsBuiltIn: boolean
  readonly extension: string | undefined
}

/** An operator outside pg_catalog. */
export interface UserOperator {
  readonly schema: string
  readonly name: string
  readonly left: number
  readonly right: number
  readonly function: string
  readonly extension: string | undefined
}

export interface CatalogueParts {
  readonly defaultSearchPath: readonly string[]
  readonly user: string
  readonly schemas: readonly string[]
  readonly extensions: readonly string[]
  readonly builtInTypes: readonly string[]
  readonly relations: readonly Relation[]
  readonly routines: readonly Routine[]
  readonly types: readonly UserType[]
  readonly operators: readonly UserOperator[]
  readonly vectorTypeOids: readonly number[]
}

/** What `pg_get_viewdef` says, and what the view's version was then. */
export interface ViewDefinition {
  readonly text: string
  readonly version: string
}

/** Finds the base columns behind a column; made by the analysis, which can read view definitions. */
export type Lineage = (
  relation: Relation,
  column: RelationColumn,
  catalogue: CatalogueSnapshot,
) => readonly ColumnOrigin[] | undefined

/** The name by which each session finds what is temporary in it; no other session's is ever looked at. */
export const TEMPORARY_SCHEMA = 'pg_temp'

/** Name of a relation as policy writes it: `docs` for public.docs, else `schema.table`; odd names are quoted, so that no two meet. */
export function collectionName(schema: string, name: string): string {
  if (schema === 'pg_catalog' || schema === 'information_schema') return CATALOG
  const shown = quoteOdd(name)
  if (schema === TEMPORARY_SCHEMA) return `${TEMPORARY}.${shown}`
  return schema === 'public' ? shown : `${quoteOdd(schema)}.${shown}`
}

function quoteOdd(name: string): string {
  return /[."*]|^\$/.test(name) || name === '' ? `"${name.replaceAll('"', '""')}"` : name
}

const EFFECTIVE = new WeakMap<readonly string[], readonly string[]>()

/** The path as PostgreSQL walks it: pg_catalog comes first unless the path names it (PostgreSQL docs, search_path). */
export function effectivePath(path: readonly string[]): readonly string[] {
  const known = EFFECTIVE.get(path)
  if (known !== undefined) return known
  const effective = path.includes('pg_catalog') ? path : ['pg_catalog', ...path]
  EFFECTIVE.set(path, effective)
  return effective
}

const qualified = (schema: string, name: string): string => `${schema}\u0000${name}`

/** What is shared by a snapshot and by those of sessions that have more. */
interface Index {
  readonly schemas: ReadonlySet<string>
  readonly builtInTypes: ReadonlySet<string>
  readonly vectorTypes: ReadonlySet<number>
  readonly relations: ReadonlyMap<string, Relation>
  readonly byOid: ReadonlyMap<number, Relation>
  readonly children: ReadonlyMap<number, readonly Relation[]>
  readonly routines: ReadonlyMap<string, readonly Routine[]>
  readonly types: ReadonlyMap<string, UserType>
  readonly typesByOid: ReadonlyMap<number, UserType>
  readonly operators: ReadonlyMap<string, readonly UserOperator[]>
}

function indexOf(parts: CatalogueParts): Index {
  const relations = new Map<string, Relation>()
  const byOid = new Map<number, Relation>()
  const children = new Map<number, Relation[]>()
  const routines = new Map<string, Routine[]>()
  const operators = new Map<string, UserOperator[]>()
  for (const relation of parts.relations) {
    relations.set(qualified(relation.schema, relation.name), relation)
    byOid.set(relation.oid, relation)
    for (const parent of relation.parents) append(children, parent, relation)
  }
  for (const routine of parts.routines)
    append(routines, qualified(routine.schema, routine.name), routine)
  for (const operator of parts.operators) append(operators, operator.name, operator)
  return {
    schemas: new Set(parts.schemas),
    builtInTypes: new Set(parts.builtInTypes),
    vectorTypes: new Set(parts.vectorTypeOids),
    relations,
    byOid,
    children,
    routines,
    types: new Map(parts.types.map((type) => [qualified(type.schema, type.name), type])),
    typesByOid: new Map(parts.types.map((type) => [type.oid, type])),
    operators,
  }
}

/** The snapshot. Look-ups are by exact name. */
export class CatalogueSnapshot implements Catalogue {
  readonly defaultSearchPath: readonly string[]
  readonly user: string
  readonly extensions: ReadonlySet<string>
  /** View definitions already read, kept by the analysis. */
  readonly expansions = new Map<number, unknown>()
  /** What the session alone has; undefined where it has never had anything temporary. */
  readonly #temporary: ReadonlyMap<string, Relation> | undefined
  readonly #index: Index
  readonly #lineage: Lineage
  readonly parts: CatalogueParts

  constructor(
    parts: CatalogueParts,
    lineage: Lineage,
    of: { readonly index?: Index; readonly temporary?: readonly Relation[] } = {},
  ) {
    this.parts = parts
    this.defaultSearchPath = parts.defaultSearchPath
    this.user = parts.user
    this.extensions = new Set(parts.extensions)
    this.#index = of.index ?? indexOf(parts)
    this.#temporary = of.temporary && new Map(of.temporary.map((each) => [each.name, each]))
    this.#lineage = lineage
  }

  /** The same as one session sees it, with what is temporary in it. */
  withTemporary(temporary: readonly Relation[]): CatalogueSnapshot {
    return new CatalogueSnapshot(this.parts, this.#lineage, { index: this.#index, temporary })
  }

  get temporary(): readonly Relation[] | undefined {
    return this.#temporary && [...this.#temporary.values()]
  }

  /** The same with definitions of views that had not been read; undefined where one is another view by now. */
  defining(definitions: ReadonlyMap<number, ViewDefinition>): CatalogueSnapshot | undefined {
    for (const [oid, { version }] of definitions)
      if (this.#index.byOid.get(oid)?.version !== version) return undefined
    const relations = this.parts.relations.map((relation) => {
      const definition = definitions.get(relation.oid)?.text
      return definition === undefined ? relation : { ...relation, definition, unread: false }
    })
    return new CatalogueSnapshot({ ...this.parts, relations }, this.#lineage)
  }

  unreadViews(oids: readonly number[]): readonly number[] {
    return oids.filter((oid) => this.relationByOid(oid)?.unread === true)
  }

  hasSchema(name: string): boolean {
    return this.#index.schemas.has(name)
  }

  isVectorType(typeOid: number): boolean {
    return this.#index.vectorTypes.has(typeOid)
  }

  /** A relation by schema, or along the search path, in which nothing temporary stands. */
  relation(
    schema: string | undefined,
    name: string,
    path: readonly string[],
  ): Relation | undefined {
    if (schema === TEMPORARY_SCHEMA) return this.#temporary?.get(name)
    if (schema !== undefined) return this.#index.relations.get(qualified(schema, name))
    for (const candidate of effectivePath(path)) {
      const found = this.#index.relations.get(qualified(candidate, name))
      if (found !== undefined) return found
    }
    return undefined
  }

  relationByOid(oid: number): Relation | undefined {
    return this.#index.byOid.get(oid) ?? this.temporary?.find((each) => each.oid === oid)
  }

  /** Tables that inherit from it, at any depth. */
  descendants(relation: Relation): readonly Relation[] {
    return this.#walk(relation, (each) => this.#below(each.oid))
  }

  /** Tables that it inherits from, at any depth. */
  ancestors(relation: Relation): readonly Relation[] {
    return this.#walk(relation, (each) =>
      each.parents.flatMap((oid) => this.relationByOid(oid) ?? []),
    )
  }

  #below(oid: number): readonly Relation[] {
    const shared = this.#index.children.get(oid) ?? []
    const own = this.temporary?.filter(({ parents }) => parents.includes(oid)) ?? []
    return own.length === 0 ? shared : [...shared, ...own]
  }

  #walk(start: Relation, next: (relation: Relation) => readonly Relation[]): readonly Relation[] {
    const seen = new Set<Relation>()
    const waiting = [...next(start)]
    for (let each = waiting.pop(); each !== undefined; each = waiting.pop()) {
      if (seen.has(each)) continue
      seen.add(each)
      waiting.push(...next(each))
    }
    return [...seen]
  }

  /** Every function of this name in a schema, or in all schemas of the path. */
  routines(schema: string | undefined, name: string, path: readonly string[]): readonly Routine[] {
    if (schema !== undefined) return this.#index.routines.get(qualified(schema, name)) ?? []
    return effectivePath(path).flatMap(
      (each) => this.#index.routines.get(qualified(each, name)) ?? [],
    )
  }

  /** Operators outside pg_catalog of this name in a schema, or in the schemas of the path. */
  operators(
    schema: string | undefined,
    name: string,
    path: readonly string[],
  ): readonly UserOperator[] {
    const all = this.#index.operators.get(name) ?? []
    if (schema !== undefined) return all.filter((each) => each.schema === schema)
    return all.filter((each) => path.includes(each.schema))
  }

  isBuiltInType(name: string): boolean {
    return this.#index.builtInTypes.has(name)
  }

  userType(schema: string, name: string): UserType | undefined {
    return this.#index.types.get(qualified(schema, name))
  }

  userTypeByOid(oid: number): UserType | undefined {
    return this.#index.typesByOid.get(oid)
  }

  originsOf(tableOid: number, attribute: number): readonly ColumnOrigin[] | undefined {
    const relation = this.relationByOid(tableOid)
    if (relation === undefined) return undefined
    if (relation.system || attribute < 0) return []
    if (attribute === 0) return this.#wholeRow(relation)
    const column = relation.columns.find((each) => each.attribute === attribute)
    return column === undefined ? undefined : this.#lineage(relation, column, this)
  }

  /** Attribute 0 is the whole row. */
  #wholeRow(relation: Relation): readonly ColumnOrigin[] | undefined {
    const all: ColumnOrigin[] = []
    for (const column of relation.columns) {
      const origins = this.#lineage(relation, column, this)
      if (origins === undefined) return undefined
      all.push(...origins)
    }
    return all
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
