// Owns reading the parse tree: every node is opened through the allow-list of `known.ts`. A node type or field
// that is not on it is not understood, and what is not understood is refused.

import { KNOWN } from './known.js'

/** The statement, or something in it, was not understood: it is refused with this reason. Never leaves the room. */
export class NotUnderstood extends Error {
  readonly hint: string | undefined
  /** Where in the text, in bytes from 0. */
  at: number | undefined

  constructor(reason: string, hint?: string) {
    super(reason)
    this.name = 'NotUnderstood'
    this.hint = hint
  }
}

/** It hangs on a view whose definition has not been read yet: to be judged again when it has. */
export class ViewUnread extends NotUnderstood {
  readonly view: number

  constructor(view: number) {
    super('the definition of a view has not been read')
    this.view = view
  }
}

/** The fields of one opened node. */
export type Fields = Readonly<Record<string, unknown>>

/** Runs a part of the analysis; what it does not understand stands where the node does. */
export function placed<T>(fields: Fields, run: () => T): T {
  try {
    return run()
  } catch (error) {
    // The parser leaves a location of 0 out.
    const { location = 0 } = fields
    if (error instanceof NotUnderstood && typeof location === 'number') error.at ??= location
    throw error
  }
}

/** Opens a node whose type stands in the grammar (not wrapped), checking its fields. */
export function open(value: unknown, tag: string): Fields {
  if (!isFields(value)) throw new NotUnderstood(`malformed ${tag}`)
  const known = KNOWN[tag]
  if (known === undefined) throw new NotUnderstood(`not supported yet: ${tag}`)
  for (const key in value) {
    if (!known.has(key)) throw new NotUnderstood(`not supported yet: ${tag}.${key}`)
  }
  return value
}

/** Opens a wrapped node `{Tag: {…}}`. */
export function node(value: unknown): { readonly tag: string; readonly fields: Fields } {
  const tag = tagOf(value)
  return { tag, fields: open(isFields(value) ? value[tag] : undefined, tag) }
}

/** The tag of a wrapped node, unopened. */
export function tagOf(value: unknown): string {
  if (isFields(value)) {
    const keys = Object.keys(value)
    if (keys.length === 1 && keys[0] !== undefined) return keys[0]
  }
  throw new NotUnderstood('malformed parse tree')
}

/** Opens a wrapped node that must be of this type. */
export function expectNode(value: unknown, tag: string): Fields {
  const found = node(value)
  if (found.tag !== tag)
    throw new NotUnderstood(`not supported yet: ${found.tag} where ${tag} is expected`)
  return found.fields
}

/** A list member of a node; absent is empty. */
export function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new NotUnderstood('malformed parse tree')
  return value
}

/** A text member; absent (an empty string in the grammar's own form) is ''. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A list of String nodes, e.g. a qualified name. */
export function names(value: unknown): string[] {
  return list(value).map((each) => text(expectNode(each, 'String')['sval']))
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A constant of the grammar: text, NULL, or undefined where the node is no constant. */
export function constantText(
  value: unknown,
): { readonly value: string | null; readonly form: string } | undefined {
  if (!isFields(value) || !('A_Const' in value)) return undefined
  const fields = expectNode(value, 'A_Const')
  if (fields['isnull'] === true) return { value: null, form: 'null' }
  const inner = (key: string, member: string): unknown => {
    const body = fields[key]
    return isFields(body) ? body[member] : undefined
  }
  if ('ival' in fields) return { value: String(inner('ival', 'ival') ?? 0), form: 'integer' }
  if ('fval' in fields) return { value: text(inner('fval', 'fval')), form: 'number' }
  if ('boolval' in fields)
    return { value: inner('boolval', 'boolval') === true ? 't' : 'f', form: 'boolean' }
  if ('sval' in fields) return { value: text(inner('sval', 'sval')), form: 'string' }
  if ('bsval' in fields) return { value: text(inner('bsval', 'bsval')), form: 'bits' }
  throw new NotUnderstood('malformed constant')
}
