// Writing through views by the analysis alone: what is written is the view and the table behind it, by the names that
// the table has for it.

import { beforeAll, describe, expect, it } from 'vitest'
import type { Operation } from '../../../../../src/core/operation.js'
import { CatalogueSnapshot } from '../../../../../src/protocol/postgres/catalogue.js'
import {
  type CatalogueRows,
  catalogueParts,
} from '../../../../../src/protocol/postgres/catalogue-load.js'
import { lineageOf } from '../../../../../src/protocol/postgres/sql/view.js'
import type { Classification } from '../../../../../src/protocol/postgres/statement.js'
import { analyzer, fixture, isRefused, PUBLIC, product } from './analysis-fixture.js'

beforeAll(() => analyzer.prepare())

const INT = 23
const TEXT = 25
let oid = 90_000
/** A view as the catalogue's rows tell of it. `triggers`: bits of pg_trigger.tgtype. */
function view(
  name: string,
  columns: Readonly<Record<string, number>>,
  definition: string,
  { rules, triggers }: { readonly rules?: true; readonly triggers?: number } = {},
): (string | null)[] {
  oid += 1
  const attributes = Object.entries(columns).map(([column, type], at) => [
    at + 1,
    column,
    type,
    false,
  ])
  const rest = [
    rules ? 'rules' : null,
    null,
    '',
    null,
    triggers === undefined ? null : `${triggers}`,
  ]
  return [
    `${oid}`,
    'public',
    name,
    'v',
    JSON.stringify(attributes),
    null,
    null,
    definition,
    ...rest,
  ]
}

const rows = fixture<CatalogueRows>('catalogue.json')
const catalogue = new CatalogueSnapshot(
  catalogueParts(
    {
      ...rows,
      relations: [
        ...rows.relations,
        view(
          'named',
          { key: INT, words: TEXT, size: INT },
          'SELECT id AS key, body AS words, length(body) AS size FROM notes',
        ),
        view(
          'part',
          { id: INT, body: TEXT },
          "SELECT n.id, n.body FROM notes n WHERE n.tenant = 't1'::text",
        ),
        view('deep', { k: INT, b: TEXT }, 'SELECT part.id AS k, part.body AS b FROM part'),
        view('aliased', { x: INT, y: TEXT }, 'SELECT a, b FROM notes n(a, b)'),
        view('counted', { n: INT }, 'SELECT count(*)::int FROM notes'),
        view('joined', { id: INT }, 'SELECT n.id FROM notes n, docs d'),
        view('few', { id: INT }, 'SELECT id FROM notes LIMIT 5'),
        view('two', { id: INT }, 'SELECT id FROM notes UNION ALL SELECT id FROM docs'),
        view('grouped', { id: INT }, 'SELECT id FROM notes GROUP BY id'),
        view('distinct_v', { id: INT }, 'SELECT DISTINCT id FROM notes'),
        view('withed', { id: INT }, 'WITH w AS (SELECT 1) SELECT id FROM notes'),
        view('system', { relname: TEXT }, 'SELECT relname FROM pg_class'),
        view('ruled', { id: INT }, 'SELECT id FROM notes', { rules: true }),
        view('over_ruled', { id: INT }, 'SELECT id FROM ruled'),
        // INSTEAD OF INSERT OR UPDATE OR DELETE, for each row; then of DELETE alone.
        view('acting', { id: INT, body: TEXT }, 'SELECT id, body FROM notes', {
          triggers: 64 + 1 + 28,
        }),
        view('deleting', { id: INT, body: TEXT }, 'SELECT id, body FROM notes', {
          triggers: 64 + 1 + 8,
        }),
        view('over_acting', { id: INT, body: TEXT }, 'SELECT id, body FROM acting'),
      ],
    },
    product,
  ),
  lineageOf(product),
)

function classified(text: string): Classification {
  const parsed = analyzer.parse(text)
  if (!parsed.ok) throw new Error(parsed.message)
  const [only] = parsed.statements
  if (only === undefined) throw new Error('expected one statement')
  return only.classify(catalogue, PUBLIC, undefined)
}

function operationOf(text: string): Operation {
  const { operation } = classified(text)
  if (isRefused(operation)) throw new Error(`refused: ${operation.reason}`)
  return operation
}

const uses = (text: string, access: string): readonly string[] =>
  operationOf(text)
    .collections.filter((use) => use.access === access)
    .map(({ collection, action, effect }) => {
      const count = 'count' in effect ? ` ${effect.count}` : ''
      return `${collection} ${action} ${effect.kind}${count}`
    })
const fields = (text: string): readonly string[] =>
  operationOf(text).fields.map(({ collection, field, how }) => `${collection}.${field} ${how}`)

describe('what is written', () => {
  it.each([
    [
      "INSERT INTO named (key, words) VALUES (1, 'a'), (2, 'b')",
      ['named insert rows 2', 'notes insert rows 2'],
    ],
    ["UPDATE named SET words = 'x' WHERE key = 5", ['named update ids 1', 'notes update ids 1']],
    [
      "UPDATE named n SET words = 'x' WHERE n.key IN (5, 6)",
      ['named update ids 2', 'notes update ids 2'],
    ],
    ["UPDATE named SET words = 'x'", ['named update_by_filter all', 'notes update_by_filter all']],
    ['DELETE FROM named', ['named truncate all', 'notes truncate all']],
    [
      'DELETE FROM ONLY named WHERE size > 3',
      ['named delete_by_filter filter', 'notes delete_by_filter filter'],
    ],
    [
      'DELETE FROM named WHERE words = $1',
      ['named delete_by_filter filter', 'notes delete_by_filter filter'],
    ],
    // A part of the table, and all of the view.
    ['DELETE FROM part', ['part truncate all', 'notes delete_by_filter filter']],
    ['DELETE FROM part WHERE id = 1', ['part delete ids 1', 'notes delete ids 1']],
    [
      'DELETE FROM deep WHERE k = ANY (ARRAY[1, 2, 3])',
      ['deep delete ids 3', 'part delete ids 3', 'notes delete ids 3'],
    ],
    [
      'DELETE FROM deep',
      ['deep truncate all', 'part truncate all', 'notes delete_by_filter filter'],
    ],
    [
      "INSERT INTO named (key, words) VALUES (1, 'a') ON CONFLICT (key) DO UPDATE SET words = excluded.words",
      ['named upsert rows 1', 'notes upsert rows 1'],
    ],
    [
      'WITH gone AS (DELETE FROM named WHERE key = 1 RETURNING 1) SELECT 1',
      ['named delete ids 1', 'notes delete ids 1'],
    ],
    [
      "MERGE INTO named t USING (VALUES (1), (2)) s(id) ON t.key = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (key, words) VALUES (s.id, '')",
      ['named delete ids 2', 'notes delete ids 2', 'named insert rows 2', 'notes insert rows 2'],
    ],
  ])('%s', (text, expected) => expect(uses(text, 'write')).toEqual(expected))

  it('locks rows where they are', () => {
    const locked = ['deep update none', 'notes update none', 'part update none']
    expect([...uses('SELECT k FROM deep FOR UPDATE', 'write')].sort()).toEqual(locked)
  })

  it('has the names of the table', () => {
    expect(fields("UPDATE deep SET b = 'x'")).toEqual(
      expect.arrayContaining(['deep.b written', 'part.body written', 'notes.body written']),
    )
    expect(fields("INSERT INTO aliased VALUES (1, 'x')")).toEqual(
      expect.arrayContaining(['notes.id written', 'notes.tenant written']),
    )
    const { keys, keyedBy } = classified('DELETE FROM deep WHERE k IN (7, 8)')
    expect(keys).toEqual({ deep: ['7', '8'], part: ['7', '8'], notes: ['7', '8'] })
    expect(keyedBy).toMatchObject({ notes: 'id' })
    expect(
      classified("INSERT INTO named (words, key) VALUES ('a', 4) RETURNING words, key"),
    ).toMatchObject({
      keys: { notes: ['4'] },
      returnedKey: { collection: 'notes', at: 1 },
    })
  })

  it('hangs on every relation between', () => {
    const names = (text: string) =>
      classified(text)
        .uses?.relations.map(({ name }) => name)
        .sort()
    expect(names('INSERT INTO deep (k) VALUES (1)')).toEqual(['deep', 'notes', 'part'])
    expect(names('DELETE FROM named')).toEqual(['named', 'notes'])
  })
})

describe('what is read', () => {
  it.each([
    ['INSERT INTO named (key) VALUES (1)', []],
    ["UPDATE named SET words = ''", []],
    ['DELETE FROM named', []],
    ['DELETE FROM named WHERE key = 1', ['named get none', 'notes get none']],
    ['INSERT INTO named (key) VALUES (1) RETURNING size', ['named get none', 'notes get none']],
    // The condition of a view is asked of every row.
    ['DELETE FROM part', ['part get none', 'notes get none']],
    ['INSERT INTO part (id) VALUES (1)', ['part get none', 'notes get none']],
  ])('%s', (text, expected) => expect(uses(text, 'read')).toEqual(expected))

  it('counts as it does when the view is read', () => {
    expect(fields('DELETE FROM part')).toContain('notes.tenant equality')
    expect(fields("UPDATE named SET words = '' WHERE size > 3")).toContain('notes.body predicate')
    expect(fields('DELETE FROM named WHERE key = 1 RETURNING words')).toContain('notes.body output')
    expect(fields('DELETE FROM docs_v WHERE ref = $1')).toContain('docs.ssn equality')
  })
})

describe('triggers in place of a write', () => {
  it.each([
    ["INSERT INTO acting VALUES (1, 'x')", ['acting insert unknown']],
    ["UPDATE acting SET body = 'x' WHERE id = 1", ['acting update_by_filter unknown']],
    ['DELETE FROM acting WHERE id = 1', ['acting delete_by_filter unknown']],
    [
      'DELETE FROM over_acting',
      ['over_acting delete_by_filter unknown', 'acting delete_by_filter unknown'],
    ],
    ['DELETE FROM deleting WHERE id = 1', ['deleting delete_by_filter unknown']],
    // What no trigger takes is written as ever.
    ["UPDATE deleting SET body = '' WHERE id = 1", ['deleting update ids 1', 'notes update ids 1']],
    [
      "MERGE INTO deleting t USING (VALUES (1)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET body = ''",
      ['deleting update ids 1', 'notes update ids 1'],
    ],
  ])('%s', (text, expected) => expect(uses(text, 'write')).toEqual(expected))

  it('are given rows of the view, which is read for them', () => {
    expect(uses("INSERT INTO acting VALUES (1, 'x')", 'read')).toEqual([])
    expect(uses("UPDATE acting SET body = 'x'", 'read')).toEqual([
      'acting get none',
      'notes get none',
    ])
  })
})

describe('refused', () => {
  it.each([
    ['UPDATE named SET size = 3', /"size" of view "named" is not a plain column of "notes"/],
    ['UPDATE named SET nothing = 3', /unknown column "nothing"/],
    ['DELETE FROM counted_mv', /unknown relation/],
    ['DELETE FROM joined', /not a plain part of one table/],
    ['DELETE FROM few', /not a plain part/],
    ['DELETE FROM two', /not a plain part/],
    ['DELETE FROM grouped', /not a plain part/],
    ['DELETE FROM distinct_v', /not a plain part/],
    ['DELETE FROM withed', /not a plain part/],
    ['DELETE FROM system', /the catalogue cannot be written/],
    ['DELETE FROM ruled', /has rules/],
    ['DELETE FROM over_ruled', /"ruled", which has rules/],
    ['DELETE FROM docs_mv', /neither a table nor a view/],
    [
      "MERGE INTO deleting t USING (VALUES (1)) s(id) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1, '')",
      /INSTEAD OF triggers for some/,
    ],
  ])('%s', (text, reason) => {
    const { operation } = classified(text)
    expect(isRefused(operation) ? operation.reason : operation.name).toMatch(reason)
  })

  it('leaves aggregates in the list to the server, which writes through none of them', () => {
    expect(uses('DELETE FROM counted', 'write')).toEqual([
      'counted truncate all',
      'notes truncate all',
    ])
  })
})
