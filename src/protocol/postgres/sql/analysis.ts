// Owns the running account of one statement: what it reaches, how it uses fields, what it calls. One per
// classification; it must never be shared between two.

import type {
  CollectionUse,
  Cutoff,
  Effect,
  FieldHow,
  FieldUse,
  Risk,
} from '../../../core/operation.js'
import { CATALOG } from '../../../core/operation.js'
import type { PostgresProduct } from '../../table.js'
import { type CatalogueSnapshot, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import { isOfSession } from '../search-path.js'
import type { CatalogueUses, Classification, ColumnOrigin, CopyForm } from '../statement.js'
import type { BoundParameters } from './bound-parameters.js'
import { NotUnderstood } from './tree.js'
import { allSources, type Value } from './value.js'

/** Deeper trees are refused: the walk must not exhaust the stack. */
const MAX_DEPTH = 400
/** Expressions looked at for one statement, all trials included. */
const MAX_WORK = 300_000
/** Names and columns looked through for one statement, all trials included. */
const MAX_SCANNED = 20_000_000

export interface Surroundings {
  readonly catalogue: CatalogueSnapshot
  readonly path: readonly string[]
  readonly product: PostgresProduct
  /** Absent while the statement is only prepared. */
  readonly parameters: BoundParameters | undefined
  /** What is there already is not created: the statement stands by itself, and is answered without being run. */
  readonly unlessThere?: boolean
  /** The character, from 1, at a byte of the text; absent where that is not to be told. */
  readonly position?: ((at: number) => number) | undefined
}

export class Analysis {
  readonly catalogue: CatalogueSnapshot
  readonly path: readonly string[]
  readonly product: PostgresProduct
  readonly parameters: BoundParameters | undefined
  readonly unlessThere: boolean
  readonly collections: CollectionUse[] = []
  readonly fields: FieldUse[] = []
  readonly functions = new Set<string>()
  /** Advisory locks that it takes. */
  readonly locks = new Set<string>()
  /** It sets where names are looked up, or calls code that may. */
  movesPath = false
  readonly risks = new Set<Risk>()
  readonly keys = new Map<string, string[]>()
  /** The column that names them, where it is one. */
  readonly keyedBy = new Map<string, string | undefined>()
  /** Of COPY … FROM STDIN. */
  copyIn: CopyForm | undefined
  /** The column of the last RETURNING that is the key of what was written. */
  returnedKey: Classification['returnedKey'] | undefined
  /** Writes found so far: more than one makes a batch. */
  writes = 0
  /** Embeddings by the different distances to them. */
  readonly probes: ColumnOrigin[] = []
  /** Some expression is a distance to a constant. */
  searches = false
  /** Tables met so far, the catalogue's apart; those of WITH, whatever they are made of. */
  met = 0
  /** Gathering aggregates met in the query at hand. */
  gathering = 0
  /** Subqueries at hand that may run once for each row around them. */
  repeated = 0
  /** Rows gathered into single values: in all, and for each row of the result. */
  readonly gathered = { total: 0, each: 0 }
  /** Range items of which only some rows may be read, until a condition proves which. */
  readonly unproved = new Set<object>()
  /** Shared with trials, so that nested ones cannot multiply the work. */
  readonly #effort: { depth: number; work: number; scanned: number }
  readonly #seen = new Set<string>()
  readonly #used = new Set<Relation>()
  readonly #named = new Map<string, Relation | undefined>()
  #called = false
  /** Names without a schema are looked for among what is temporary first. */
  readonly #temporary: boolean

  constructor(
    surroundings: Surroundings,
    effort = { depth: 0, work: 0, scanned: 0 },
    temporary = true,
  ) {
    this.#effort = effort
    this.#temporary = temporary
    this.catalogue = surroundings.catalogue
    this.path = surroundings.path
    this.product = surroundings.product
    this.parameters = surroundings.parameters
    this.unlessThere = surroundings.unlessThere === true
  }

  /** Runs one level deeper; refuses a tree that is too deep. */
  deeper<T>(work: () => T): T {
    if (++this.#effort.work > MAX_WORK) throw new NotUnderstood('statement too complex')
    if (this.#effort.depth >= MAX_DEPTH) throw new NotUnderstood('statement nested too deeply')
    this.#effort.depth += 1
    try {
      return work()
    } finally {
      this.#effort.depth -= 1
    }
  }

  /** Counts a look through `count` names or columns; refuses a statement that asks for too many. */
  scan(count: number): void {
    this.#effort.scanned += count
    if (this.#effort.scanned > MAX_SCANNED) throw new NotUnderstood('statement too complex')
  }

  /** The relation of a name, by its schema or where names are looked up; that the statement means it is noted. */
  named(schema: string | undefined, name: string): Relation | undefined {
    // By its own name nobody knows whose it is.
    if (schema !== undefined && schema !== TEMPORARY_SCHEMA && isOfSession(schema))
      throw new NotUnderstood(`schema "${schema}" is a session's own`, 'call your own one pg_temp')
    const first = schema === undefined && this.#temporary
    const own = first ? this.catalogue.relation(TEMPORARY_SCHEMA, name, []) : undefined
    const relation = own ?? this.catalogue.relation(schema, name, this.path)
    if (relation?.system === true) return relation
    this.#named.set(
      schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`,
      relation,
    )
    if (relation !== undefined && !'iI'.includes(relation.kind)) this.#used.add(relation)
    return relation
  }

  /** It reaches something temporary. */
  get usesTemporary(): boolean {
    return [...this.#used].some(({ schema }) => schema === TEMPORARY_SCHEMA)
  }

  /** What of the catalogue the account hangs on. */
  get uses(): CatalogueUses | undefined {
    if (this.#used.size === 0 && this.#named.size === 0 && !this.#called) return undefined
    return {
      path: this.path,
      relations: [...this.#used].sort((a, b) => a.oid - b.oid),
      names: Object.fromEntries([...this.#named].map(([name, each]) => [name, each?.oid ?? 0])),
      ...(this.catalogue.temporary === undefined ? {} : { temporary: true }),
    }
  }

  /** Notes that a relation is reached, with all that its name covers: children, parents, never less. */
  reach(
    relation: Relation,
    access: CollectionUse['access'],
    action: string,
    effect: Effect,
    only = false,
  ): void {
    if (relation.system) {
      if (access !== 'read')
        throw new NotUnderstood(`the catalogue cannot be written: "${relation.name}"`)
      this.collection({
        collection: CATALOG,
        access: 'read',
        action: 'describe_collection',
        effect: { kind: 'none' },
      })
      return
    }
    this.met += 1
    for (const each of this.family(relation, only)) {
      this.collection({ collection: each.collection, access, action, effect })
    }
  }

  /** The relation itself, what it inherits from, and unless ONLY was written what inherits from it. */
  family(relation: Relation, only = false): readonly Relation[] {
    const below = only ? [] : this.catalogue.descendants(relation)
    const all = [relation, ...this.catalogue.ancestors(relation), ...below]
    // What a leaf is part of is in its parent's version, and nothing can come below it.
    for (const each of all) if (!each.leaf || each === relation) this.#used.add(each)
    return all
  }

  collection(use: CollectionUse): void {
    const effect = use.effect
    const count = 'count' in effect ? effect.count : 'reason' in effect ? effect.reason : ''
    const key = `c\u0000${use.collection}\u0000${use.access}\u0000${use.action}\u0000${effect.kind}\u0000${count}`
    // Two equal writes are two writes: only reads are one.
    if (use.access === 'read' && this.#seen.has(key)) return
    this.#seen.add(key)
    this.collections.push(use)
  }

  /** Notes that up to `rows` rows become one value. */
  gather(rows: number, each: boolean): void {
    const where = each || this.repeated > 0 ? 'each' : 'total'
    this.gathered[where] = Math.max(this.gathered[where], rows)
  }

  /** Notes how a value's fields are used. Every equality counts, since each one is a guess. */
  use(value: Value, how: FieldHow): void {
    this.useSources(allSources(value), how)
  }

  useSources(sources: readonly ColumnOrigin[], how: FieldHow, cutoff?: Cutoff): void {
    for (const source of sources) {
      const key = `f\u0000${source.collection}\u0000${source.field}\u0000${how}`
      if (how !== 'equality' && how !== 'exists' && how !== 'cutoff' && this.#seen.has(key))
        continue
      this.#seen.add(key)
      this.fields.push({
        collection: source.collection,
        field: source.field,
        how,
        vector: source.vector,
        ...(cutoff === undefined ? {} : { cutoff }),
      })
    }
  }

  /** Notes a distance to embeddings; each that is told from others counts once. */
  probe(sources: readonly ColumnOrigin[], which: string, told: boolean): void {
    for (const source of sources) {
      const key = `p\u0000${source.collection}\u0000${source.field}\u0000${which}`
      if (told && this.#seen.has(key)) continue
      this.#seen.add(key)
      this.probes.push(source)
    }
  }

  /** Notes that code of the database's own is called, which may do what it likes to the session. */
  calls(signature: string): void {
    this.functions.add(signature)
    this.#called = true
    this.movesPath = true
  }

  /** Keys that the statement names for a collection. */
  nameKeys(collection: string, keys: readonly string[], column: string | undefined): void {
    const known = this.keys.get(collection)
    const same = known === undefined || this.keyedBy.get(collection) === column
    this.keyedBy.set(collection, same ? column : undefined)
    if (known === undefined) this.keys.set(collection, [...keys])
    else known.push(...keys)
  }

  /** Tries something without keeping its account. */
  dry<T>(work: (trial: Analysis) => T): T {
    const { catalogue, path, product, parameters } = this
    const around = { catalogue, path, product, parameters }
    return work(new Analysis(around, this.#effort, this.#temporary))
  }

  /** A fresh account under the same limits, for a view's definition, whose names mean nothing temporary. */
  separate(path: readonly string[]): Analysis {
    const { catalogue, product, parameters } = this
    return new Analysis({ catalogue, path, product, parameters }, this.#effort, false)
  }

  /** Adds another account to this one. */
  include(other: Analysis): void {
    for (const use of other.collections) this.collection(use)
    for (const field of other.fields) this.useSources([field], field.how, field.cutoff)
    this.probes.push(...other.probes)
    for (const name of other.functions) this.functions.add(name)
    for (const name of other.locks) this.locks.add(name)
    this.movesPath ||= other.movesPath
    this.met += other.met
    this.#called ||= other.#called
    for (const each of other.unproved) this.unproved.add(each)
    // Names in a view's definition were resolved when it was made.
    for (const each of other.#used) this.#used.add(each)
    this.gather(other.gathered.total, false)
    this.gather(other.gathered.each, true)
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
