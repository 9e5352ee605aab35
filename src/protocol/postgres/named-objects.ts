// Owns what a statement means that names a prepared statement or a cursor: SQL and the protocol share both kinds of
// names. Must never answer for another object than the database will find at the statement's place.

import { isOperation, type Operation } from '../../core/operation.js'
import { findPortal, findStatement } from './lookups.js'
import { FULL, missing } from './name-replies.js'
import type { NameChanges, Pipeline, Portal, Prepared } from './pipeline.js'
import type { NamedUse, Parameter, ParsedStatement } from './statement.js'
import { Tally } from './tally.js'
import type { ErrorReply } from './wire.js'

/** A statement at its place, ready to be judged. */
export interface Step {
  readonly statement: ParsedStatement
  /** What becomes of names when it has run. */
  readonly changes: NameChanges
  /** The object that its name stands for. */
  readonly target?: Prepared | Portal
  /** The cursor that it opens. */
  readonly opens?: Portal
  /** The portal that its rows count for. */
  readonly counted?: { readonly tally: Tally; readonly promise: number }
  /** What its request is, beyond its own text. */
  readonly exact: readonly string[]
  /** Its rows come in binary although nobody asks for it. */
  readonly binary?: boolean
}

/** How a statement came. */
export interface Came {
  readonly values: readonly Parameter[]
  readonly exact: (text: string) => string
}

/** The names of a session as they are at one place in its pipeline. */
export interface Names {
  statement(name: string): Prepared | undefined | 'later'
  portal(name: string): Portal | undefined | 'later'
  statements(): readonly string[]
  portals(): readonly string[]
  readonly segment: number
  readonly full: { readonly statements: boolean; readonly portals: boolean }
}

type Found = Step | { readonly reply: ErrorReply } | 'later'

const NO_QUERY: ErrorReply = {
  severity: 'ERROR',
  sqlstate: '0A000',
  message: 'not supported yet: EXECUTE or FETCH of a statement that is no query',
}

/** The names at the client's place. */
export function namesNow(pipeline: Pipeline): Names {
  return {
    statement: (name) => findStatement(pipeline, name),
    portal: (name) => findPortal(pipeline, name),
    statements: () => pipeline.statements.names(),
    portals: () => pipeline.portals.names(),
    segment: pipeline.segment,
    full: { statements: pipeline.statements.full, portals: pipeline.portals.full },
  }
}

/** The statements of one message, each as the names are when those before it have run. */
export function stepsOf(
  statements: readonly ParsedStatement[],
  names: Names,
  came: Came,
): readonly Step[] | { readonly reply: ErrorReply } | 'later' {
  const [only] = statements
  if (only !== undefined && statements.length === 1) {
    const step = stepOf(only, names, came)
    return step === 'later' || 'reply' in step ? step : [step]
  }
  const changed = {
    statements: new Map<string, Prepared | undefined>(),
    portals: new Map<string, Portal | undefined>(),
  }
  const within: Names = {
    ...names,
    statement: (name) =>
      changed.statements.has(name) ? changed.statements.get(name) : names.statement(name),
    portal: (name) => (changed.portals.has(name) ? changed.portals.get(name) : names.portal(name)),
    statements: () => [...new Set([...names.statements(), ...changed.statements.keys()])],
    portals: () => [...new Set([...names.portals(), ...changed.portals.keys()])],
  }
  const steps: Step[] = []
  for (const statement of statements) {
    const step = stepOf(statement, within, came)
    if (step === 'later' || 'reply' in step) return step
    for (const { name, value } of step.changes.statements ?? []) changed.statements.set(name, value)
    for (const { name, value } of step.changes.portals ?? []) changed.portals.set(name, value)
    steps.push(step)
  }
  return steps
}

/** One statement at its place. */
export function stepOf(statement: ParsedStatement, names: Names, came: Came): Found {
  const { named } = statement
  if (named === undefined) return { statement, changes: removals(statement, names), exact: [] }
  if (named.kind === 'prepare') return prepare(statement, named, names)
  if (named.kind === 'declare') return declare(statement, named, names, came)
  if (named.kind === 'execute') return execute(statement, named.name, names)
  const portal = names.portal(named.name)
  if (portal === 'later') return 'later'
  if (portal === undefined) return { reply: missing('P', named.name, 'cursor') }
  return fetchStep(portal, named, statement)
}

function removals({ effects }: ParsedStatement, names: Names): NameChanges {
  const gone = (name: string | undefined, all: () => readonly string[]) =>
    (name === undefined ? [] : name === '*' ? all() : [name]).map((each) => ({
      name: each,
      value: undefined,
    }))
  return {
    statements: gone(effects.deallocates, names.statements),
    portals: gone(effects.closes, names.portals),
  }
}

function prepare(
  statement: ParsedStatement,
  { name, inner, source }: Extract<NamedUse, { kind: 'prepare' }>,
  names: Names,
): Found {
  if (names.full.statements) return { reply: FULL }
  const { segment } = names
  const prepared: Prepared = { name, text: source, statement: inner, types: [], segment }
  return { statement, changes: { statements: [{ name, value: prepared }] }, exact: [] }
}

function declare(
  statement: ParsedStatement,
  { name, inner, source, hold, binary }: Extract<NamedUse, { kind: 'declare' }>,
  names: Names,
  { values, exact }: Came,
): Found {
  if (names.full.portals) return { reply: FULL }
  const { segment } = names
  const portal: Portal = {
    name,
    prepared: { name: '', text: source, statement: inner, types: [], segment },
    run: undefined,
    parameters: [],
    values,
    exact: () => exact(source),
    whole: () => ({ text: inner.secret === true ? inner.text : source }),
    segment,
    describing: false,
    // It has no run of its own: whatever reads it is judged.
    completed: true,
    tally: new Tally(),
    basis: undefined,
    declared: { binary },
    held: hold ? 'asked' : 'no',
    turned: false,
  }
  return { statement, changes: { portals: [{ name, value: portal }] }, opens: portal, exact: [] }
}

function execute(statement: ParsedStatement, name: string, names: Names): Found {
  const target = names.statement(name)
  if (target === 'later') return 'later'
  if (target === undefined) return { reply: missing('S', name) }
  const run = target.statement && statement.execution?.(target.statement)
  if (run === undefined) return { reply: NO_QUERY }
  return { statement: run, changes: {}, target, exact: [target.text] }
}

/** Reading on in a portal: judged as what the portal was opened for, with the rows that may have come by then. */
function fetchStep(
  portal: Portal,
  use: Extract<NamedUse, { kind: 'fetch' }>,
  source: ParsedStatement,
): Found {
  const { statement } = portal.prepared
  const opened = portal.basis !== undefined || portal.declared !== undefined
  if (statement === undefined || statement.named !== undefined || !opened)
    return { reply: NO_QUERY }
  if (!use.forward) portal.turned = true
  const text = `${statement.text.replace(/^/gm, '-- ')}\n${source.text}`
  const fetched: ParsedStatement = {
    text,
    ...(statement.secret === true ? { secret: true } : {}),
    parameterCount: 0,
    effects: source.effects,
    portalReady: source.portalReady && !use.moves,
    classify: (catalogue, path) => {
      const { basis, values } = portal
      const operation = basis ?? statement.classify(catalogue, path, values).operation
      if (!isOperation(operation)) return { operation }
      const rows = use.moves ? 0 : mostRows(operation, portal, use.most)
      return { operation: { ...operation, returns: { ...operation.returns, rows }, text } }
    },
  }
  return {
    statement: fetched,
    changes: {},
    target: portal,
    counted: {
      tally: portal.tally,
      promise: use.moves || !Number.isFinite(use.most) ? 0 : use.most,
    },
    exact: [portal.exact(), String(portal.tally.rows)],
    binary: portal.declared?.binary === true,
  }
}

/** Execute on a cursor of DECLARE: all that is left of it. */
export function readOn(portal: Portal, statement: ParsedStatement): Found {
  const most = Number.POSITIVE_INFINITY
  const use = { kind: 'fetch', name: portal.name, most, forward: true, moves: false } as const
  return fetchStep(portal, use, statement)
}

/** Rows that a portal can have given when `most` more have come; going back gives them again. */
function mostRows(
  { returns }: Operation,
  { tally, turned }: Portal,
  most: number,
): number | 'unbounded' {
  const all = returns.rows === 'unbounded' ? Number.POSITIVE_INFINITY : returns.rows
  const next = tally.rows + Math.min(most, all)
  const rows = turned ? next : Math.min(next, Math.max(all, tally.rows))
  return Number.isFinite(rows) ? rows : 'unbounded'
}
