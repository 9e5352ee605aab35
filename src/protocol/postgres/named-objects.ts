// Owns what a statement means that names a prepared statement or a cursor: SQL and the protocol share both kinds of
// names. Must never answer for another object than the database will find at the statement's place.

import { fetchStep, type Reading } from './cursor-reads.js'
import { findPortal, findSavepoints, findStatement } from './lookups.js'
import { FULL, missing } from './name-replies.js'
import { type NameChange, NamesAfter } from './names.js'
import type { NameChanges, Portal, Prepared } from './objects.js'
import type { Pipeline } from './pipeline.js'
import { rolledBackTo, type Savepoints, savepointsAfter } from './savepoints.js'
import type { NamedUse, ParsedStatement, StatementEffects } from './statement.js'
import type { Came, Step } from './step.js'
import { Tally } from './tally.js'
import type { ErrorReply } from './wire.js'

/** The names of a session as they are at one place in its pipeline. */
export interface Names {
  statement(name: string): Prepared | undefined | 'later'
  portal(name: string): Portal | undefined | 'later'
  savepoints(): Savepoints | undefined | 'later'
  /** The transaction has failed, so that its end undoes it, whatever it is called. */
  failed(): boolean | 'later'
  /** A procedure cannot end the transaction: one is open that only its own statements end. */
  enclosed(): boolean
  nextSerial(): number
  readonly segment: number
  readonly full: { readonly statements: boolean; readonly portals: boolean }
}

/** What was found at a place: a step, the reply that refuses, or nothing as long as more has to be settled first. */
export type Found = Step | { readonly reply: ErrorReply } | 'later'

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
    savepoints: () => findSavepoints(pipeline),
    failed: () => {
      const settled =
        pipeline.segmentAlone || !pipeline.portals.someFresh(({ held }) => held === 'asked')
      return settled ? pipeline.status === 'E' : 'later'
    },
    enclosed: () => pipeline.proved.enclosed,
    nextSerial: () => pipeline.nextSerial(),
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
  const after = {
    statements: new NamesAfter<Prepared>(names.statement),
    portals: new NamesAfter<Portal>(names.portal),
    savepoints: new NamesAfter<Savepoints>(names.savepoints),
  }
  const within: Names = {
    ...names,
    // Several statements of one message are in a transaction.
    enclosed: () => true,
    statement: (name) => after.statements.lookup(name),
    portal: (name) => after.portals.lookup(name),
    savepoints: () => after.savepoints.lookup(''),
  }
  const readings = new Map<Portal, Reading>()
  const steps: Step[] = []
  for (const statement of statements) {
    const step = stepOf(statement, within, came, readings)
    if (step === 'later' || 'reply' in step) return step
    const { changes, reading } = step
    for (const change of changes.statements ?? []) after.statements.change(change)
    for (const change of changes.portals ?? []) after.portals.change(change)
    for (const change of changes.savepoints ?? []) after.savepoints.change(change)
    if (reading !== undefined) readings.set(reading.portal, reading)
    steps.push(step)
  }
  return steps
}

/** One statement at its place. `readings`: what those before it in the same message do with portals. */
export function stepOf(
  statement: ParsedStatement,
  names: Names,
  came: Came,
  readings?: ReadonlyMap<Portal, Reading>,
): Found {
  const { named } = statement
  if (named === undefined) {
    const changes = changesOf(statement.effects, names)
    return changes === 'later' ? 'later' : { statement, changes, exact: [] }
  }
  if (named.kind === 'prepare') return prepare(statement, named, names)
  if (named.kind === 'declare') return declare(statement, named, names, came)
  if (named.kind === 'execute') return execute(statement, named.name, names)
  const portal = names.portal(named.name)
  if (portal === 'later') return 'later'
  if (portal === undefined) return { reply: missing('P', named.name, 'cursor') }
  return fetchStep(portal, named, statement, readings?.get(portal)) ?? { reply: NO_QUERY }
}

/** What a statement that names no object by itself does to those that there are. */
function changesOf(effects: StatementEffects, names: Names): NameChanges | 'later' {
  const { deallocates, closes, transaction, calls } = effects
  // It may commit: what is not kept then, or was only to be kept, vouches for nothing any more.
  if (calls === true && !names.enclosed())
    return { portals: [{ drops: ({ held }: Portal) => held !== 'kept' }] }
  if (transaction !== undefined && transaction !== 'begin') return endings(effects, names)
  return {
    ...(deallocates === undefined ? {} : { statements: [removal<Prepared>(deallocates)] }),
    ...(closes === undefined ? {} : { portals: [removal<Portal>(closes)] }),
  }
}

const removal = <T>(name: string): NameChange<T> =>
  name === '*' ? { drops: 'all' } : { name, value: undefined }

/** Transaction control: what was made in what it undoes goes, and what a transaction does not leave behind. */
function endings(effects: StatementEffects, names: Names): NameChanges | 'later' {
  const { transaction, savepoint } = effects
  const now = names.savepoints()
  if (now === 'later') return 'later'
  const value = savepointsAfter(now, effects, names.nextSerial())
  const savepoints = [{ name: '', value }]
  if (transaction === 'savepoint' || transaction === 'release') return { savepoints }
  if (transaction === 'rollback-to') {
    const back = rolledBackTo(now, savepoint)
    const drops = ({ serial, held }: Portal): boolean => held !== 'kept' && serial > back
    return { savepoints, portals: [{ drops }] }
  }
  const failed = transaction !== 'commit' || names.failed()
  if (failed === 'later') return 'later'
  const drops = ({ held }: Portal): boolean => held === 'no' || (held === 'asked' && failed)
  return { savepoints, portals: [{ drops }] }
}

function prepare(
  statement: ParsedStatement,
  { name, inner, source }: Extract<NamedUse, { kind: 'prepare' }>,
  names: Names,
): Found {
  if (names.full.statements) return { reply: FULL }
  const { segment } = names
  const prepared: Prepared = { name, text: source, statement: inner, types: [], sql: true, segment }
  return { statement, changes: { statements: [{ name, value: prepared }] }, exact: [] }
}

function declare(
  statement: ParsedStatement,
  { name, inner, source, hold, binary }: Extract<NamedUse, { kind: 'declare' }>,
  names: Names,
  { values, exact, parameters }: Came,
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
    whole: () => {
      const bound = parameters?.()
      const text = inner.secret === true ? inner.text : source
      return { text, ...(bound === undefined ? {} : { parameters: bound }) }
    },
    segment,
    serial: names.nextSerial(),
    executed: 0,
    changes: 0,
    begun: false,
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
  const { text, statement: query } = target
  return {
    statement: run,
    changes: {},
    target,
    exact: [text],
    behind: () => ({ text: query?.secret === true ? query.text : text }),
  }
}
