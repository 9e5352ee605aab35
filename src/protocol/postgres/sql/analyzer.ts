// Owns the analyser that the wire adapter talks to: parse once, classify per catalogue, path and parameters,
// with bounded caches. It must never answer from a cache for other parameters, another path or another catalogue.

import { LRUCache } from 'lru-cache'
import type { PreviewQuery } from '../../../core/adapter.js'
import { VgateError } from '../../../core/errors.js'
import { builtFile } from '../../../core/place.js'
import type { PostgresProduct } from '../../table.js'
import { CatalogueSnapshot } from '../catalogue.js'
import {
  catalogueParts,
  ownParts,
  readCatalogueRows,
  readCatalogueVersion,
  temporaryRelations,
  viewDefinitions,
} from '../catalogue-load.js'
import { OWN_QUERIES, viewQuery } from '../catalogue-queries.js'
import type {
  Catalogue,
  Classification,
  Parameter,
  ParsedStatement,
  ParseOutcome,
  SqlAnalyzer,
} from '../statement.js'
import { told } from '../told.js'
import type { Surroundings } from './analysis.js'
import { BoundParameters, highestParameter } from './bound-parameters.js'
import { classifyTree, refused } from './classify.js'
import { effectsOf } from './effects.js'
import { argumentValues, classifyExecution } from './execution.js'
import { unparsedReason, unparsedText } from './lexical-text.js'
import { executed, isExecutable, namedUse, withQuery } from './named.js'
import { loadParser, parseTree, type TreeOutcome } from './parser.js'
import { previewsOf } from './preview.js'
import { allowsSetting, resolveSearchPath } from './settings.js'
import { ByteText, holdsSecret, shownText } from './shown-text.js'
import { isFields, list, tagOf } from './tree.js'
import { lineageOf } from './view.js'
import { isWrite } from './write.js'

/** Statements in one message; more are refused. */
const MAX_STATEMENTS = 1000
const CACHE_ENTRIES = 1000
const CACHE_BYTES = 8 * 1024 * 1024
/** A tree takes about this many times its text. */
const TREE_FACTOR = 20
const OFFLOAD_BYTES = 64 * 1024
/** Search paths remembered for one statement and catalogue. */
const PATHS_PER_STATEMENT = 8

/** The analyser of a product. Make one per process; `prepare()` it once. */
export function createAnalyzer(product: PostgresProduct): SqlAnalyzer {
  const cache = new LRUCache<string, ParseOutcome>({
    max: CACHE_ENTRIES,
    maxSize: CACHE_BYTES,
    maxEntrySize: CACHE_BYTES / 4,
    sizeCalculation: (_outcome, text) => 1 + text.length * TREE_FACTOR,
  })
  const lineage = lineageOf(product)
  const versions = new WeakMap<CatalogueSnapshot, string>()
  const snapshot = (catalogue: Catalogue): CatalogueSnapshot => {
    if (catalogue instanceof CatalogueSnapshot) return catalogue
    throw new VgateError(
      'VGATE_UNEXPECTED',
      'a catalogue of another kind was given to the analysis',
    )
  }
  const outcome = (text: string, tree: TreeOutcome): ParseOutcome => {
    const result = outcomeOf(text, tree, product, snapshot)
    if (tree.ok || tree.kind === 'syntax') cache.set(text, result)
    return result
  }
  return {
    prepare: loadParser,
    parse: (text) => cache.get(text) ?? outcome(text, parseTree(text)),
    shown: cutText,
    offloadBytes: OFFLOAD_BYTES,
    offloadEntry: builtFile('protocol/postgres/sql/parse-worker.js'),
    fromOffload: (text, answer) => outcome(text, offloaded(answer)),
    loadCatalogue: async (query, previous) => {
      // Read first: what changes while the rows are read is found by the next comparison.
      const version = await readCatalogueVersion(query)
      if (previous instanceof CatalogueSnapshot && versions.get(previous) === version)
        return previous
      const loaded = new CatalogueSnapshot(
        catalogueParts(await readCatalogueRows(query), product),
        lineage,
      )
      versions.set(loaded, version)
      return loaded
    },
    ownQueries: OWN_QUERIES,
    ownCatalogue: (answers, shared) => {
      const parts = ownParts(answers, snapshot(shared).parts, product)
      return parts && new CatalogueSnapshot(parts, lineage)
    },
    withTemporary: (catalogue, rows) => {
      const known = snapshot(catalogue)
      return known.withTemporary(temporaryRelations(rows, known.parts))
    },
    viewQuery,
    withViews: (catalogue, answer) => {
      const known = snapshot(catalogue)
      const told = viewDefinitions(answer, known.defaultSearchPath)
      return told && known.defining(told)
    },
    allowsSetting: (name, value) => allowsSetting(name, value, product),
    resolveSearchPath: (value, catalogue, user) =>
      resolveSearchPath(value, snapshot(catalogue), user),
  }
}

function offloaded(answer: unknown): TreeOutcome {
  const failed: TreeOutcome = {
    ok: false,
    kind: 'failed',
    message: 'the SQL parser did not answer',
  }
  if (typeof answer !== 'string') return failed
  const parsed: unknown = JSON.parse(answer)
  if (!isFields(parsed)) return failed
  if (parsed['ok'] === true && isFields(parsed['tree'])) return { ok: true, tree: parsed['tree'] }
  const { kind, message, position } = parsed
  if (typeof message !== 'string') return failed
  if (kind === 'syntax' && typeof position === 'number')
    return { ok: false, kind: 'syntax', message, position }
  return { ok: false, kind: 'failed', message }
}

function outcomeOf(
  text: string,
  outcome: TreeOutcome,
  product: PostgresProduct,
  snapshot: (catalogue: Catalogue) => CatalogueSnapshot,
): ParseOutcome {
  if (!outcome.ok) {
    if (outcome.kind === 'syntax')
      return {
        ok: false,
        message: outcome.message,
        position: outcome.position,
        text: unparsedText(text),
        reason: unparsedReason(text, outcome.message),
      }
    return { ok: true, statements: [refusedStatement(outcome.message, text)] }
  }
  const statements = list(outcome.tree['stmts'])
  if (statements.length > MAX_STATEMENTS) {
    return {
      ok: true,
      statements: [refusedStatement(`more than ${MAX_STATEMENTS} statements in one message`, text)],
    }
  }
  const source = new ByteText(text)
  let start = 0
  let counted = 0
  // Kept with the statement: of a long text the place of an error is not told.
  const position = text.length > PLACED_CHARACTERS ? undefined : (at: number) => source.position(at)
  return {
    ok: true,
    statements: statements.map((each) => {
      // In order, so that each byte is looked at once.
      const fields = isFields(each) ? each : {}
      const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
      const tree = fields['stmt']
      const [from, length] = [number(fields['stmt_location']), number(fields['stmt_len'])]
      const whole = source.slice(from, length > 0 ? from + length : undefined)
      const shown = shownText(source, tree, from, length)
      const alone = statements.length === 1
      const secret = holdsSecret(tree, () => whole)
      // Counted on from the one before: the text may be long, and they many.
      start += source.slice(counted, from).length
      counted = from
      const place = { from: start, to: start + whole.length }
      const given = { tree, text: shown, whole, alone, secret, place, position }
      return new Statement(given, product, snapshot)
    }),
  }
}

/** Statements whose rows a portal gives in parts, besides those that write. */
const HAS_ROWS: ReadonlySet<string> = new Set(['SelectStmt', 'FetchStmt', 'ExplainStmt'])

const PATH_KEYS = new WeakMap<readonly string[], string>()

/** One text for a search path; a session asks with the same list again and again. */
function pathKey(searchPath: readonly string[]): string {
  const known = PATH_KEYS.get(searchPath)
  if (known !== undefined) return known
  const key = JSON.stringify(searchPath)
  PATH_KEYS.set(searchPath, key)
  return key
}

const PLACED_CHARACTERS = 64 * 1024

/** Texts in refusals are cut: they may be megabytes. */
const SHOWN_CHARACTERS = 2000

function cutText(text: string): string {
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)} …` : text
  return unparsedText(cut)
}

function refusedStatement(reason: string, text: string): ParsedStatement {
  const shown = cutText(text)
  const classification: Classification = { operation: refused(reason, shown) }
  return {
    text: shown,
    ...(unparsedText(text) === text ? {} : { secret: true as const }),
    parameterCount: 0,
    effects: { ddl: false, readOnly: false },
    portalReady: false,
    classify: () => classification,
  }
}

/** What a statement was parsed from. */
interface Source {
  readonly tree: unknown
  /** As people see it, and as it was written. */
  readonly text: string
  readonly whole: string
  /** Nothing else stands in the message. */
  readonly alone: boolean
  /** Its literals may be secrets. */
  readonly secret: boolean
  /** Where it stands in the message; absent inside another statement. */
  readonly place?: { readonly from: number; readonly to: number }
  /** The character, from 1, at a byte of the message; absent where that is not to be told. */
  readonly position?: ((at: number) => number) | undefined
  /** Arguments of the EXECUTE that runs it. */
  readonly args?: readonly unknown[]
  /** Of what is executed: it was judged with its own text. */
  readonly prepared?: ParsedStatement
}

class Statement implements ParsedStatement {
  readonly text: string
  readonly secret?: true
  readonly parameterCount: number
  readonly effects: ParsedStatement['effects']
  readonly place?: { readonly from: number; readonly to: number }
  readonly portalReady: boolean
  readonly named: ParsedStatement['named']
  readonly #source: Source
  readonly #product: PostgresProduct
  readonly #snapshot: (catalogue: Catalogue) => CatalogueSnapshot
  /** By search path, without values and with some that nobody looked at. */
  readonly #known = new WeakMap<Catalogue, Record<'free' | 'bound', Map<string, Classification>>>()
  readonly #executions = new WeakMap<ParsedStatement, ParsedStatement>()

  constructor(
    source: Source,
    product: PostgresProduct,
    snapshot: (catalogue: Catalogue) => CatalogueSnapshot,
  ) {
    const { tree, text, whole, alone, secret, args, position } = source
    if (secret) this.secret = true
    this.#source = source
    this.#product = product
    this.#snapshot = snapshot
    this.text = text
    this.effects = effectsOf(tree)
    if (source.place !== undefined) this.place = source.place
    this.parameterCount = highestParameter(args ?? tree)
    const tag = isFields(tree) && Object.keys(tree).length === 1 ? tagOf(tree) : ''
    this.portalReady = alone && !this.effects.ddl && (HAS_ROWS.has(tag) || isWrite(tag))
    this.named =
      args === undefined
        ? namedUse(tree, {
            statement: (inner) =>
              new Statement(
                { tree: inner, text, whole, alone: true, secret, position },
                product,
                snapshot,
              ),
            source: whole,
          })
        : undefined
  }

  execution(target: ParsedStatement): ParsedStatement | undefined {
    const known = this.#executions.get(target)
    if (known !== undefined) return known
    const execute = executed(this.#source.tree)
    if (execute === undefined || !(target instanceof Statement)) return undefined
    const query = target.#source.tree
    if (target.#source.args !== undefined || !isExecutable(query)) return undefined
    const { alone, whole } = this.#source
    const secret = this.secret === true || target.secret === true
    const made = new Statement(
      {
        tree: withQuery(this.#source.tree, query),
        text: told(target.text, this.text),
        whole,
        alone,
        secret,
        args: list(execute['params']),
        prepared: target,
      },
      this.#product,
      this.#snapshot,
    )
    this.#executions.set(target, made)
    return made
  }

  classify(
    catalogue: Catalogue,
    searchPath: readonly string[],
    parameters?: readonly Parameter[],
  ): Classification {
    // Without parameters of its own, a statement means the same whatever is bound.
    const bound =
      parameters !== undefined && this.parameterCount > 0
        ? new BoundParameters(parameters)
        : undefined
    const key = pathKey(searchPath)
    const all = this.#known.get(catalogue) ?? { free: new Map(), bound: new Map() }
    const paths = bound === undefined ? all.free : all.bound
    const known = paths.get(key)
    if (known !== undefined) return known
    const found = this.#judge(catalogue, searchPath, bound)
    // What looked at a value means something else with another one.
    if (bound?.looked === true) return found
    if (paths.size >= PATHS_PER_STATEMENT) paths.clear()
    paths.set(key, found)
    this.#known.set(catalogue, all)
    return found
  }

  preview(
    catalogue: Catalogue,
    searchPath: readonly string[],
    parameters?: readonly Parameter[],
  ): readonly PreviewQuery[] {
    const { tree, args, prepared } = this.#source
    if (prepared !== undefined) {
      const bound = parameters === undefined ? undefined : new BoundParameters(parameters)
      const values = argumentValues(args ?? [], this.#around(catalogue, searchPath, bound))
      return prepared.preview?.(catalogue, searchPath, values) ?? []
    }
    return previewsOf(tree, this.text, {
      catalogue: this.#snapshot(catalogue),
      path: searchPath,
      parameters,
    })
  }

  #judge(
    catalogue: Catalogue,
    path: readonly string[],
    parameters: BoundParameters | undefined,
  ): Classification {
    const { tree, args } = this.#source
    const around = this.#around(catalogue, path, parameters)
    return args === undefined
      ? classifyTree(tree, this.text, around)
      : classifyExecution(tree, args, this.text, around)
  }

  #around(
    catalogue: Catalogue,
    path: readonly string[],
    parameters: BoundParameters | undefined,
  ): Surroundings {
    const { position } = this.#source
    return {
      catalogue: this.#snapshot(catalogue),
      path,
      product: this.#product,
      parameters,
      // Only by itself it is answered without being run, and so judged by what is there.
      unlessThere:
        this.effects.ifAbsent === true &&
        this.place !== undefined &&
        this.#source.args === undefined,
      position,
    }
  }
}
