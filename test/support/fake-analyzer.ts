// Owns an analysis of SQL that is good enough for tests of the wire: statements of a few plain forms, told
// apart by their first word. The real one is tested on its own.

import type { SideQuery } from '../../src/core/adapter.js'
import type { Operation, Output, Unclassified } from '../../src/core/operation.js'
import type {
  Catalogue,
  CopyForm,
  ParsedStatement,
  ParseOutcome,
  SqlAnalyzer,
  StatementEffects,
} from '../../src/protocol/postgres/statement.js'

interface Column {
  readonly table: string
  readonly oid: number
  readonly attribute: number
  readonly name: string
}

class FakeCatalogue implements Catalogue {
  readonly defaultSearchPath = ['public']
  readonly temporary = undefined
  readonly columns: readonly Column[]

  constructor(columns: readonly Column[]) {
    this.columns = columns
  }

  hasSchema(name: string): boolean {
    return name === 'public'
  }

  originsOf(oid: number, attribute: number) {
    const found = this.columns.filter(
      (column) => column.oid === oid && column.attribute === attribute,
    )
    return found.length === 0
      ? undefined
      : found.map(({ table, name }) => ({ collection: table, field: name, vector: false }))
  }

  unreadViews(): readonly number[] {
    return []
  }

  isVectorType(): boolean {
    return false
  }
}

function outputs(list: string, table: string | undefined, columns: readonly Column[]): Output[] {
  const items =
    list.trim() === '*'
      ? columns.filter((column) => column.table === table).map((column) => column.name)
      : list.split(',')
  return items.map((raw) => {
    const name = raw.trim().replace(/ as .*$/i, '')
    const known = columns.find((column) => column.table === table && column.name === name)
    if (known === undefined || table === undefined) return { name, kind: 'derived', sources: [] }
    return { name, kind: 'column', sources: [{ collection: table, field: name, vector: false }] }
  })
}

function classify(text: string, columns: readonly Column[]): Operation | Unclassified {
  const select = /^select (.*?)(?: from (\w+)(.*))?$/is.exec(text)
  const table = select?.[2] ?? /(?:into|from|update|copy|table) (\w+)/i.exec(text)?.[1]
  if (
    select?.[2] !== undefined &&
    !/^(generate_series|pg_)/.test(select[2]) &&
    !columns.some((column) => column.table === table)
  ) {
    return { reason: `unknown relation "${table}"`, text }
  }
  const bound = /limit (\d+)/i.exec(text)?.[1]
  const access = select !== null ? 'read' : 'write'
  return {
    name: text.split(/\s/, 1)[0]?.toLowerCase() ?? '',
    access,
    collections:
      table === undefined
        ? []
        : [{ collection: table, access, action: 'x', effect: { kind: 'none' } }],
    fields: [],
    returns: {
      rows: bound === undefined ? 'unbounded' : Number(bound),
      outputs: select === null ? [] : outputs(select[1] ?? '', select[2], columns),
    },
    risks: [],
    functions: [],
    text,
  }
}

function effectsOf(text: string): StatementEffects {
  const word = text.split(/\s/, 1)[0]?.toLowerCase() ?? ''
  const transaction = ({ begin: 'begin', commit: 'commit', rollback: 'rollback' } as const)[word]
  const copy = /^copy .* from stdin/i.test(text)
    ? 'in'
    : /^copy .* to stdout/i.test(text)
      ? 'out'
      : undefined
  const gone =
    /^deallocate (\w+)/i.exec(text)?.[1] ?? (/^discard all/i.test(text) ? '*' : undefined)
  return {
    ddl: /^(create|alter|drop)\b/i.test(text),
    ...(/^(?:select|insert|update|delete)$/.test(word) ? { planned: true } : {}),
    readOnly: word === 'select',
    ...(transaction === undefined ? {} : { transaction }),
    ...(copy === undefined ? {} : { copy }),
    ...(gone === undefined ? {} : { deallocates: gone }),
  }
}

/** Rows of two columns, as text. */
const COPIED: CopyForm = {
  format: 'text',
  delimiter: 9,
  quote: 34,
  escapeBy: 34,
  header: false,
  columns: 2,
}

function statement(text: string): ParsedStatement {
  return {
    text,
    parameterCount: 0,
    effects: effectsOf(text),
    portalReady: /^select/i.test(text),
    classify: (catalogue) => ({
      operation: classify(text, (catalogue as FakeCatalogue).columns),
      ...(effectsOf(text).copy === 'in' ? { copyIn: COPIED } : {}),
    }),
  }
}

const WORDS =
  /^(select|insert|update|delete|begin|commit|rollback|copy|create|alter|drop|show|deallocate|discard|set|prepare|explain)\b/i

/** Statements of plain forms; anything else is a syntax error at its first character. */
export function fakeAnalyzer(): SqlAnalyzer {
  return {
    prepare: async () => {},
    parse(text): ParseOutcome {
      const pieces = text
        .split(';')
        .map((piece) => piece.trim())
        .filter((piece) => piece !== '')
      const wrong = pieces.find((piece) => !WORDS.test(piece))
      if (wrong !== undefined) {
        const reason = `syntax error at or near "${wrong.split(/\s/, 1)[0]}"`
        return { ok: false, message: reason, position: text.indexOf(wrong) + 1, text, reason }
      }
      return { ok: true, statements: pieces.map(statement) }
    },
    offloadBytes: 1 << 20,
    offloadEntry: new URL('file:///none'),
    shown: (text) => text,
    fromOffload: (text) => ({ ok: false, message: 'not here', position: 1, text, reason: '' }),
    async loadCatalogue(query: SideQuery): Promise<Catalogue> {
      const rows = await query(
        `select c.relname, c.oid::text, a.attnum::text, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped order by c.oid, a.attnum`,
      )
      return new FakeCatalogue(
        rows.map(([table, oid, attribute, name]) => ({
          table: table ?? '',
          oid: Number(oid),
          attribute: Number(attribute),
          name: name ?? '',
        })),
      )
    },
    ownQueries: ['select 1'],
    ownCatalogue: () => undefined,
    withTemporary: (catalogue) => catalogue,
    viewQuery: () => 'select 1',
    withViews: () => undefined,
    allowsSetting: (name) =>
      ['application_name', 'statement_timeout', 'datestyle', 'extra_float_digits'].includes(name),
    resolveSearchPath: (value) => (value.replaceAll('"', '') === 'public' ? ['public'] : undefined),
  }
}
