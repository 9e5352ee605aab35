// Owns the reading on in a portal, by FETCH or by Execute on a cursor: judged as what the portal was opened for, with
// the rows that may have come by then. Must never count fewer rows than the portal can give.

import { isOperation } from '../../core/operation.js'
import type { Portal } from './objects.js'
import type { NamedUse, ParsedStatement } from './statement.js'
import type { Step } from './step.js'
import { told } from './told.js'

/** What a message does with one portal up to one of its statements. */
export interface Reading {
  readonly portal: Portal
  /** It has gone back by then: rows may come twice. */
  readonly turned: boolean
  /** A statement of this message counts the rows from before it. */
  readonly counted: boolean
  /** Rows that the portal can have given by then, of `all` that it has. */
  reached(all: number): number
}

type Fetch = Extract<NamedUse, { kind: 'fetch' }>

/** FETCH or MOVE; undefined where the portal is none that can be read so. `before`: the same message did so already. */
export function fetchStep(
  portal: Portal,
  use: Fetch,
  source: ParsedStatement,
  before: Reading | undefined,
): Step | undefined {
  const { statement } = portal.prepared
  if (portal.basis?.existing !== undefined) return undefined
  const opened = portal.basis !== undefined || portal.declared !== undefined
  if (statement === undefined || statement.named !== undefined || !opened) return undefined
  const reading = readingOf(portal, use, before)
  return {
    statement: readingStatement(portal, statement, source, use, { reading, before }),
    changes: {},
    target: portal,
    reading,
    counted: { tally: portal.tally, promise: () => promised(portal, use) },
    exact: [portal.exact(), String(portal.tally.rows)],
    ...(source === statement ? {} : { behind: portal.whole }),
    binary: portal.declared?.binary === true,
  }
}

/** Execute on a cursor of DECLARE: all that is left of it. */
export function readOn(portal: Portal, statement: ParsedStatement): Step | undefined {
  const most = Number.POSITIVE_INFINITY
  const use = { kind: 'fetch', name: portal.name, most, forward: true, moves: false } as const
  return fetchStep(portal, use, statement, undefined)
}

function readingStatement(
  portal: Portal,
  statement: ParsedStatement,
  source: ParsedStatement,
  use: Fetch,
  { reading, before }: { readonly reading: Reading; readonly before: Reading | undefined },
): ParsedStatement {
  const text = source === statement ? statement.text : told(statement.text, source.text)
  const { values } = portal
  return {
    text,
    ...(statement.secret === true ? { secret: true } : {}),
    parameterCount: 0,
    effects: source.effects,
    portalReady: source.portalReady && !use.moves,
    classify: (catalogue, path) => {
      // Its plan was made when it was opened, and holds its locks or has its rows: no guard is needed.
      const { uses: _, ...found } = portal.basis ?? statement.classify(catalogue, path, values)
      const { operation } = found
      if (!isOperation(operation)) return found
      // Where its columns come from must be known, too.
      const views = (portal.basis?.uses?.relations ?? []).map(({ oid }) => oid)
      const unread = catalogue.unreadViews(views)
      if (unread.length > 0) return { operation, unread }
      const all = unlimited(operation.returns.rows)
      const counted = before?.counted === true ? before.reached(all) : 0
      const rows = use.moves ? 0 : limited(reading.reached(all), counted)
      // The rows that this one brings are no more than it asks for.
      const earlier = rows === 'unbounded' ? 0 : rows - Math.min(rows, use.most, all)
      const returns = { ...operation.returns, rows, ...(earlier > 0 ? { earlier } : {}) }
      return { ...found, operation: { ...operation, returns, text } }
    },
    preview: (catalogue, path) => statement.preview?.(catalogue, path, values) ?? [],
  }
}

function readingOf(portal: Portal, use: Fetch, before: Reading | undefined): Reading {
  const turned = portal.turned || before?.turned === true || !use.forward
  const from = (all: number): number => before?.reached(all) ?? portal.tally.rows
  return {
    portal,
    turned,
    counted: before?.counted === true || !use.moves,
    reached: (all) => (use.moves ? from(all) : furthest(from(all), all, use.most, turned)),
  }
}

/** Rows that a portal can have given when `most` more have come; going back gives them again. */
function furthest(given: number, all: number, most: number, turned: boolean): number {
  const next = given + Math.min(most, all)
  return turned ? next : Math.min(next, Math.max(all, given))
}

/** Rows that this read may bring, as far as they have an end. */
function promised({ basis, tally, turned }: Portal, use: Fetch): number {
  const operation = basis?.operation
  if (use.moves || operation === undefined || !isOperation(operation)) return 0
  const all = unlimited(operation.returns.rows)
  const rows = furthest(tally.rows, all, use.most, turned || !use.forward) - tally.rows
  return Number.isFinite(rows) ? rows : 0
}

const unlimited = (rows: number | 'unbounded'): number =>
  rows === 'unbounded' ? Number.POSITIVE_INFINITY : rows

function limited(rows: number, less: number): number | 'unbounded' {
  return Number.isFinite(rows) ? rows - less : 'unbounded'
}
