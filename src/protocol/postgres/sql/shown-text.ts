// Owns a statement's text as people and records see it: its own part of the message, literal vectors reduced.

import { withoutLiterals } from './lexical-text.js'
import { isFields, list } from './tree.js'

// One class and no groups: it is run over every literal vector, which may be long.
const LITERAL = /^(?:[eE]|[uU]&)?'\s*\[[-+0-9.eE,\s]+\]\s*'/
// No two runs of white space may meet in these: a text of spaces would be tried in all their divisions.
const SPARSE =
  /^(?:[eE])?'\s*\{\s*(?:\d+\s*:\s*[-+0-9.eE]+(?:\s*,\s*\d+\s*:\s*[-+0-9.eE]+)*\s*)?\}\s*\/\s*(\d+)\s*'/
const HALF_OPEN = /^\$(\w*)\$\s*\[\s*[-+0-9.eE]+(?:\s*,\s*[-+0-9.eE]+)+\s*\]\s*\$\1\$/

/** Not whole numbers alone, which may be keys. */
const FLOATS = /^'\s*\{(?=[^}']*[.eE])\s*[-+0-9.eE]+(?:\s*,\s*[-+0-9.eE]+){15,}\s*\}\s*'/
/** Numbers in a constructed array from which on it counts as a vector. */
const LONG_ARRAY = 16
/** Statements whose literals are passwords, or name where one stands. */
const SECRET_STATEMENTS: ReadonlySet<string> = new Set([
  'CreateRoleStmt',
  'AlterRoleStmt',
  'CreateUserMappingStmt',
  'AlterUserMappingStmt',
  'CreateForeignServerStmt',
  'AlterForeignServerStmt',
  'CreateSubscriptionStmt',
  'AlterSubscriptionStmt',
  'AlterSystemStmt',
])
/** Statements that may hold such a one in a text. */
const CODE_STATEMENTS: ReadonlySet<string> = new Set(['DoStmt', 'CreateFunctionStmt'])

/** Offsets of a text whose positions are counted in bytes of UTF-8. */
export class ByteText {
  readonly #text: string
  readonly #bytes: Buffer | undefined

  constructor(text: string) {
    this.#text = text
    // In ASCII a byte is a character.
    const bytes = Buffer.byteLength(text)
    this.#bytes = bytes === text.length ? undefined : Buffer.from(text)
  }

  /** The character, from 1, at a byte, as PostgreSQL counts them: pairs of surrogates are one. */
  position(at: number): number {
    return this.#bytes === undefined ? at + 1 : [...this.slice(0, at)].length + 1
  }

  slice(from: number, to?: number): string {
    return this.#bytes === undefined
      ? this.#text.slice(from, to)
      : this.#bytes.subarray(from, to).toString()
  }
}

interface Cut {
  readonly from: number
  readonly to: number
  readonly with: string
}

/** The text of one statement with its literal vectors as `vector(n)`. `from` and `length` are bytes; length 0 is the rest. */
export function shownText(source: ByteText, tree: unknown, from: number, length: number): string {
  const end = length > 0 ? from + length : undefined
  const own = (): string => source.slice(from, end)
  if (holdsSecret(tree, own)) return withoutLiterals(own()).trim()
  const cuts: Cut[] = []
  collect(tree, source, cuts)
  cuts.sort((a, b) => a.from - b.from)
  let shown = ''
  let at = from
  for (const cut of cuts) {
    if (cut.from < at) continue
    shown += source.slice(at, cut.from) + cut.with
    at = cut.to
  }
  return (shown + source.slice(at, end)).trim()
}

/** True where nobody but the database may be shown the literals of a statement. */
export function holdsSecret(tree: unknown, text: () => string): boolean {
  const [tag = ''] = isFields(tree) ? Object.keys(tree) : []
  return SECRET_STATEMENTS.has(tag) || (CODE_STATEMENTS.has(tag) && /password/i.test(text()))
}

function collect(root: unknown, source: ByteText, cuts: Cut[]): void {
  const waiting: unknown[] = [root]
  for (
    let value = waiting.pop();
    value !== undefined || waiting.length > 0;
    value = waiting.pop()
  ) {
    if (Array.isArray(value)) {
      waiting.push(...value)
      continue
    }
    if (!isFields(value)) continue
    if (isFields(value['A_Const'])) literal(value['A_Const'], source, cuts)
    else if (isFields(value['A_ArrayExpr']) && constructed(value['A_ArrayExpr'], cuts)) continue
    for (const inner of Object.values(value)) {
      if (typeof inner === 'object' && inner !== null) waiting.push(inner)
    }
  }
}

function literal(fields: Readonly<Record<string, unknown>>, source: ByteText, cuts: Cut[]): void {
  const inner = fields['sval']
  const text = isFields(inner) ? inner['sval'] : undefined
  if (typeof text !== 'string' || !/^\s*[[{]/.test(text)) return
  const from = typeof fields['location'] === 'number' ? fields['location'] : 0
  // Quoting at most doubles it; the rest is prefix and quotes.
  const window = source.slice(from, from + Buffer.byteLength(text) * 2 + 64)
  const match =
    (text.includes(',') ? LITERAL.exec(window) : null) ??
    HALF_OPEN.exec(window) ??
    FLOATS.exec(window)
  const sparse = match === null ? SPARSE.exec(window) : null
  const found = match ?? sparse
  if (found === null) return
  const size = sparse === null ? elementsOf(text) : Number(sparse[1])
  cuts.push({ from, to: from + Buffer.byteLength(found[0]), with: `vector(${size})` })
}

function elementsOf(text: string): number {
  let elements = 1
  for (let at = text.indexOf(','); at !== -1; at = text.indexOf(',', at + 1)) elements += 1
  return elements
}

function constructed(fields: Readonly<Record<string, unknown>>, cuts: Cut[]): boolean {
  const elements = list(fields['elements'])
  const { list_start: from, list_end: to } = fields
  if (
    elements.length < LONG_ARRAY ||
    typeof from !== 'number' ||
    typeof to !== 'number' ||
    to <= from
  )
    return false
  if (
    !elements.every(
      (each) => isFields(each) && ('A_Const' in each || 'A_Expr' in each) && isNumber(each),
    )
  )
    return false
  cuts.push({ from: from + 1, to, with: `vector(${elements.length})` })
  return true
}

function isNumber(value: Readonly<Record<string, unknown>>): boolean {
  const constant = value['A_Const']
  if (isFields(constant)) return 'ival' in constant || 'fval' in constant
  const signed = value['A_Expr']
  const right = isFields(signed) && signed['lexpr'] === undefined ? signed['rexpr'] : undefined
  return isFields(right) && isFields(right['A_Const']) && !('sval' in right['A_Const'])
}
