// Owns random queries over the schema of `lineage-databases.ts`, and what a slow reference says of each column of their
// results: each expression carries what it was made of, from the column up. Knows nothing of the gateway's own analysis.

import type { Chance } from '../fuzz/random.js'

/**
 * What a column shows of masked fields: `no`: nothing; `plain`: one as it stands; `document`: one of which members are
 * masked; `made`: something computed from one; `hidden`: one or the other; `unsure`: nothing is expected.
 */
export type Shows = 'no' | 'plain' | 'document' | 'made' | 'hidden' | 'unsure'

type Kind = 'text' | 'int' | 'json' | 'jsonb' | 'other'

interface Expression {
  readonly sql: string
  readonly kind: Kind
  readonly shows: Shows
}

interface Named extends Expression {
  readonly name: string
}

/** A query, and what each column of its result shows. */
export interface RandomQuery {
  readonly sql: string
  readonly columns: readonly Named[]
}

const column = (name: string, kind: Kind, shows: Shows = 'no'): Named => ({
  name,
  sql: name,
  kind,
  shows,
})
const PEOPLE = [
  ...[column('id', 'int'), column('team', 'text'), column('name', 'text'), column('title', 'text')],
  ...[column('email', 'text', 'plain'), column('ssn', 'text', 'plain')],
  ...[column('salary', 'int', 'plain'), column('rate', 'other', 'plain')],
  ...[column('born', 'other', 'plain'), column('meta', 'jsonb', 'document')],
  ...[column('doc', 'json', 'plain'), column('tags', 'other', 'plain')],
  ...[column('home', 'other', 'plain'), column('alt', 'text', 'plain')],
  ...[column('emb', 'other', 'plain'), column('initial', 'text', 'made')],
]
const PARTED = [column('id', 'int'), column('email', 'text', 'plain'), column('word', 'text')]
const STAFF = [column('id', 'int'), column('email', 'text', 'plain'), column('badge', 'text')]
const RELATIONS: readonly (readonly [from: string, columns: readonly Named[]])[] = [
  ['people', PEOPLE],
  ['people', PEOPLE],
  ['people', PEOPLE],
  ['people_parted', PARTED],
  ['people_low', PARTED],
  ['staff', STAFF],
  ['ONLY staff', STAFF],
  ['managers', [...STAFF, column('level', 'int')]],
  ['notes', [column('id', 'int'), column('person', 'int'), column('words', 'text')]],
  [
    'contacts',
    [
      ...[column('key', 'int'), column('mail', 'text', 'plain')],
      ...[column('low', 'text', 'made'), column('name', 'text')],
    ],
  ],
  ['contacts_again', [column('key', 'int'), column('m', 'text', 'plain'), column('n', 'text')]],
  ['kept', [column('id', 'int'), column('address', 'text', 'plain'), column('team', 'text')]],
]

const ofAll = (parts: readonly Expression[]): Shows => {
  if (parts.some(({ shows }) => shows === 'unsure')) return 'unsure'
  return parts.some(({ shows }) => shows !== 'no') ? 'made' : 'no'
}

/** Makes queries out of chance. */
export class RandomQueries {
  readonly #chance: Chance
  #names = 0

  constructor(chance: Chance) {
    this.#chance = chance
  }

  /** One SELECT, at most `depth` deep. */
  select(depth = 2): RandomQuery {
    const chance = this.#chance
    const form = chance.below(10)
    if (form === 0 && depth > 0) return this.#setOperation(depth)
    if (form === 1) return this.#aggregated(depth)
    if (form === 2) return this.#grouped(depth)
    const { from, columns, before } = this.#from(depth)
    const targets = Array.from({ length: 1 + chance.below(3) }, () =>
      this.#named(this.#expression(columns, depth)),
    )
    if (chance.once(9)) targets.push(this.#named(this.#windowed(columns)))
    const star = chance.once(12)
    const list = star ? '*' : targets.map(({ sql, name }) => `${sql} AS ${name}`).join(', ')
    const distinct = chance.once(16) ? 'DISTINCT ' : chance.once(20) ? 'DISTINCT ON (1) ' : ''
    const where = chance.once(2) ? '' : ` WHERE ${this.#condition(columns, depth)}`
    const sql = `${before}SELECT ${distinct}${list} FROM ${from}${where}${this.#end(columns)}`
    return { sql, columns: star ? [] : targets }
  }

  #name(): string {
    this.#names += 1
    return `x${this.#names}`
  }

  #named(expression: Expression): Named {
    return { ...expression, name: this.#name() }
  }

  /** FROM, with what can be named of it; `before` is its WITH. */
  #from(depth: number): { from: string; columns: readonly Named[]; before: string } {
    const chance = this.#chance
    const first = this.#item(depth)
    if (!chance.once(3)) return first
    const second = this.#item(0)
    const columns = [...first.columns, ...second.columns]
    const [left, right] = [first, second].map((each) => this.#unmaskedInt(each.columns))
    const join = chance.of([
      `JOIN ${second.from} ON ${left} = ${right}`,
      `LEFT JOIN ${second.from} ON ${left} = ${right} + 3`,
      `CROSS JOIN ${second.from}`,
      `FULL JOIN ${second.from} ON ${left} = ${right}`,
      `, ${second.from}`,
      `JOIN ${second.from} ON ${this.#condition(columns, 0)}`,
    ])
    return { ...first, from: `${first.from} ${join}`, columns }
  }

  #unmaskedInt(columns: readonly Named[]): string {
    return columns.find(({ kind, shows }) => kind === 'int' && shows === 'no')?.sql ?? '1'
  }

  #item(depth: number): { from: string; columns: readonly Named[]; before: string } {
    const chance = this.#chance
    const alias = this.#name()
    const seen = (columns: readonly Named[]): readonly Named[] =>
      columns.map((each) => ({ ...each, sql: `${alias}.${each.name}` }))
    const form = depth > 0 ? chance.below(12) : 11
    if (form <= 2) {
      const inner = this.#listed(depth - 1)
      if (form === 0) {
        const kept = chance.of(['', 'MATERIALIZED ', 'NOT MATERIALIZED '])
        const before = `WITH ${alias} AS ${kept}(${inner.sql}) `
        return { before, from: alias, columns: seen(inner.columns) }
      }
      const lateral = form === 1 ? 'LATERAL ' : ''
      return { before: '', from: `${lateral}(${inner.sql}) ${alias}`, columns: seen(inner.columns) }
    }
    if (form === 3) {
      const start = `SELECT id, email AS v FROM people WHERE id = ${1 + chance.below(8)}`
      const step = chance.of(['p.email', 'p.name', 'r.v', 'lower(r.v)', "r.v || 'x'"])
      const before = `WITH RECURSIVE ${alias} AS (${start} UNION ALL SELECT p.id, ${step.replace('r.', `${alias}.`)} FROM people p JOIN ${alias} ON p.id = ${alias}.id + 1) `
      const v = column('v', 'text', 'unsure')
      return { before, from: alias, columns: seen([column('id', 'int'), v]) }
    }
    if (form === 4) {
      const from = chance.of([
        `generate_series(1, 3) ${alias}(a)`,
        `ROWS FROM (generate_series(1, 2), unnest(ARRAY[4, 5])) ${alias}(a, b)`,
        `(VALUES (1), (2)) ${alias}(a)`,
      ])
      return { before: '', from, columns: seen([column('a', 'int')]) }
    }
    if (form === 5) {
      const from = chance.of([
        `people p${alias}, LATERAL jsonb_each_text(p${alias}.meta) ${alias}(a, b)`,
        `people p${alias}, unnest(p${alias}.tags) ${alias}(a)`,
        `people p${alias}, LATERAL (VALUES (p${alias}.email), ('y')) ${alias}(a)`,
        `people p${alias}, LATERAL json_to_record(p${alias}.doc) ${alias}(a text)`,
      ])
      return { before: '', from, columns: seen([column('a', 'text', 'unsure')]) }
    }
    const [relation, columns] = chance.of(RELATIONS)
    return { before: '', from: `${relation} ${alias}`, columns: seen(columns) }
  }

  /** A query whose columns all have names of their own. */
  #listed(depth: number): RandomQuery {
    for (;;) {
      const query = this.select(depth)
      if (query.columns.length > 0) return query
    }
  }

  #setOperation(depth: number): RandomQuery {
    const chance = this.#chance
    const texts = (): readonly [Expression, string] => {
      const { from, columns, before } = this.#item(0)
      const expression = this.#text(columns, 1)
      return [expression, `${before}SELECT ${expression.sql} AS v FROM ${from}`]
    }
    const [left, first] = texts()
    const [right, second] = depth > 1 && chance.once(3) ? texts() : texts()
    const how = chance.of(['UNION ALL', 'UNION ALL', 'UNION ALL', 'UNION', 'INTERSECT', 'EXCEPT'])
    const shows = ofAll([left, right]) === 'made' ? 'hidden' : ofAll([left, right])
    return {
      sql: `${first} ${how} ${second}`,
      columns: [{ name: 'v', sql: 'v', kind: 'text', shows }],
    }
  }

  #aggregated(depth: number): RandomQuery {
    const { from, columns, before } = this.#from(Math.min(1, depth))
    const chance = this.#chance
    const targets = Array.from({ length: 1 + chance.below(2) }, () => {
      const inner = this.#expression(columns, 1)
      const order = chance.once(3) ? ` ORDER BY ${this.#expression(columns, 0).sql}` : ''
      const filter = chance.once(4) ? ` FILTER (WHERE ${this.#condition(columns, 0)})` : ''
      const call = chance.of([
        `count(*)${filter}`,
        `count(${inner.sql})${filter}`,
        `array_agg(${inner.sql}${order})${filter}`,
        `json_agg(${inner.sql}${order})${filter}`,
        `jsonb_agg(${inner.sql})`,
        `string_agg(${inner.sql}::text, ','${order})${filter}`,
        `max(${inner.sql}::text)`,
        `count(DISTINCT ${inner.sql})`,
      ])
      const shows = call.startsWith('count(*)') ? 'no' : ofAll([inner])
      return this.#named({ sql: call, kind: 'other', shows })
    })
    const list = targets.map(({ sql, name }) => `${sql} AS ${name}`).join(', ')
    return { sql: `${before}SELECT ${list} FROM ${from}`, columns: targets }
  }

  #grouped(depth: number): RandomQuery {
    const { from, columns, before } = this.#from(Math.min(1, depth))
    const chance = this.#chance
    const open = columns.filter(({ shows }) => shows === 'no')
    const key = this.#expression(chance.once(4) || open.length === 0 ? columns : open, 1)
    const other = this.#expression(columns, 0)
    const sets = chance.of(['1', '1', '1', 'GROUPING SETS ((1), ())', 'ROLLUP (1)'])
    const by = sets.replaceAll('1', key.sql)
    const having = chance.once(3) ? ` HAVING count(*) > ${chance.below(3)}` : ''
    const call = chance.of(['count(*)', `max(${other.sql}::text)`, `json_agg(${other.sql})`])
    const targets = [
      this.#named(key),
      this.#named({
        sql: call,
        kind: 'other',
        shows: call === 'count(*)' ? 'no' : ofAll([other]),
      }),
    ]
    const list = targets.map(({ sql, name }) => `${sql} AS ${name}`).join(', ')
    return {
      sql: `${before}SELECT ${list} FROM ${from} GROUP BY ${by}${having}`,
      columns: targets,
    }
  }

  #expression(columns: readonly Named[], depth: number): Expression {
    const chance = this.#chance
    const plain = chance.of(columns)
    if (depth <= 0 || chance.once(3)) return plain
    const form = chance.below(14)
    if (form <= 5) return this.#text(columns, depth)
    const document = columns.find(({ kind }) => kind === 'jsonb')
    if (form === 6 && document !== undefined) return this.#member(document)
    const other = this.#expression(columns, depth - 1)
    const row = plain.sql.split('.')[0] ?? ''
    const ofRow = columns.filter(({ sql }) => sql.startsWith(`${row}.`))
    const made = (sql: string, parts: readonly Expression[], kind: Kind = 'other'): Expression => ({
      sql,
      kind,
      shows: ofAll(parts),
    })
    return chance.of([
      () => made(`row_to_json(${row})`, ofRow, 'json'),
      () => made(`to_json(${plain.sql})`, [plain], 'json'),
      () => made(`to_jsonb(${plain.sql})`, [plain], 'jsonb'),
      () => made(`${row}`, ofRow),
      () => made(`${row}::text`, ofRow, 'text'),
      () => made(`json_build_object('a', ${plain.sql}, 'b', ${other.sql})`, [plain, other], 'json'),
      () => made(`ARRAY[${other.sql}]`, [other]),
      () => made(`ROW(${plain.sql}, ${other.sql})`, [plain, other]),
      () => made(`length(${plain.sql}::text)`, [plain], 'int'),
      () => ({
        sql: `${plain.sql}::text`,
        kind: 'text' as const,
        shows: plain.shows === 'plain' ? ('hidden' as const) : ofAll([plain]),
      }),
      () => made(`(${plain.sql}::text = 'kanari1@leak.test')`, [plain]),
      () => made(`1 / (length(${plain.sql}::text) - 17)`, [plain], 'int'),
      () => made(`${plain.sql}::text::int`, [plain], 'int'),
      () => made(`nullif(${plain.sql}::text, 'kanari1@leak.test')`, [plain], 'text'),
      () => made(`EXISTS (SELECT ${plain.sql})`, []),
      () => made(`substring(${plain.sql}::text from 'k.*')`, [plain], 'text'),
      () => made(`ARRAY(SELECT ${plain.sql} FROM notes)`, [plain]),
    ])()
  }

  #member(document: Named): Expression {
    const [path, shows, kind] = this.#chance.of([
      ["->>'city'", 'no', 'text'],
      ["->>'phone'", 'plain', 'text'],
      ["->'deep'->>'open'", 'no', 'text'],
      ["->'deep'->>'pin'", 'plain', 'text'],
      ["->'deep'", 'document', 'jsonb'],
      ["->'list'", 'document', 'jsonb'],
      ["->'list'->0", 'made', 'jsonb'],
      ["#>>'{phone}'", 'made', 'text'],
      [" ? 'phone'", 'made', 'other'],
    ] as const)
    const of = document.shows === 'document' ? shows : document.shows
    return { sql: `${document.sql}${path}`, kind, shows: of }
  }

  #text(columns: readonly Named[], depth: number): Expression {
    const chance = this.#chance
    const texts = columns.filter(({ kind }) => kind === 'text')
    const one: Expression =
      texts.length > 0 ? chance.of(texts) : { sql: "'z'::text", kind: 'text', shows: 'no' }
    if (depth <= 0 || chance.once(4)) return one
    const other = this.#text(columns, depth - 1)
    const first = this.#unmaskedInt(columns)
    const made = (sql: string, parts: readonly Expression[]): Expression => ({
      sql,
      kind: 'text',
      shows: ofAll(parts),
    })
    return chance.of([
      () => made(`lower(${other.sql})`, [other]),
      () => made(`reverse(${other.sql})`, [other]),
      () => made(`left(${other.sql}, ${1 + chance.below(9)})`, [other]),
      () => made(`md5(${other.sql})`, [other]),
      () => made(`replace(${other.sql}, 'a', ${one.sql})`, [other, one]),
      () => made(`(${other.sql} || ${one.sql})`, [other, one]),
      () => made(`concat(${one.sql}, '-', ${other.sql})`, [other, one]),
      () => made(`coalesce(${other.sql}, 'none')`, [other]),
      () => made(`coalesce(${other.sql}, ${one.sql})`, [other, one]),
      () => made(`CASE WHEN ${first} > 3 THEN ${other.sql} ELSE ${one.sql} END`, [other, one]),
      () => made(`CASE WHEN ${this.#condition(columns, 0)} THEN 'y' ELSE ${one.sql} END`, [one]),
      () => made(`(${other.sql} COLLATE "C")`, [other]),
      () => made(`${other.sql}::varchar(7)`, [other]),
      () => made(`(SELECT max(${one.sql}) FROM notes)`, [one]),
      () => made(`encode(${one.sql}::bytea, 'hex')`, [one]),
      () => made(`split_part(${one.sql}, '@', 1)`, [one]),
    ])()
  }

  #windowed(columns: readonly Named[]): Expression {
    const chance = this.#chance
    const text = this.#text(columns, 1)
    const by = chance.once(4) ? chance.of(columns).sql : this.#unmaskedInt(columns)
    const call = chance.of(['lag', 'lead', 'first_value', 'last_value', 'array_agg', 'rank'])
    const argument = call === 'rank' ? '' : text.sql
    const part = chance.once(4) ? `PARTITION BY ${chance.of(columns).sql} ` : ''
    const sql = `${call}(${argument}) OVER (${part}ORDER BY ${by})`
    return { sql, kind: 'other', shows: call === 'rank' ? 'no' : ofAll([text]) }
  }

  #condition(columns: readonly Named[], depth: number): string {
    const chance = this.#chance
    const first = this.#unmaskedInt(columns)
    if (!chance.once(6)) {
      return chance.of([
        `${first} < ${chance.below(9)}`,
        `${first} IN (SELECT person FROM notes)`,
        `EXISTS (SELECT 1 FROM notes n WHERE n.person = ${first})`,
        `${first} BETWEEN 2 AND 6 AND ${first} <> 4`,
        'true',
      ])
    }
    const expression = this.#expression(columns, depth)
    return chance.of([
      `${expression.sql} IS NOT NULL`,
      `${expression.sql}::text = 'kanari1@leak.test'`,
      `${expression.sql}::text LIKE '%1%' OR ${first} > 5`,
      `${first} = ANY (SELECT length(${expression.sql}::text))`,
    ])
  }

  #end(columns: readonly Named[]): string {
    const chance = this.#chance
    const order = chance.once(3)
      ? ` ORDER BY ${chance.once(4) ? this.#expression(columns, 1).sql : this.#unmaskedInt(columns)}`
      : ''
    return `${order}${chance.once(3) ? ` LIMIT ${chance.below(7)}` : ''}`
  }
}
