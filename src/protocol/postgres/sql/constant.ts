// Owns constants and parameters: their text where it is known, and whether they name one key exactly.

import type { Analysis } from './analysis.js'
import type { TypeMeaning } from './names.js'
import { constantText, type Fields, NotUnderstood } from './tree.js'
import type { Value } from './value.js'

/** A literal as a value. */
export function literalConstant(whole: unknown): Value {
  const constant = constantText(whole)
  if (constant === undefined) throw new NotUnderstood('malformed constant')
  const exact = constant.form !== 'bits'
  return withElements({ kind: 'constant', sources: [], literal: constant.value, exact })
}

/** A parameter: bound, unbound at prepare, or not decoded. */
export function evaluateParameter(fields: Fields, analysis: Analysis): Value {
  const number = fields['number']
  if (typeof number !== 'number' || number < 1 || number > 65535)
    throw new NotUnderstood('parameter out of range')
  if (analysis.parameters === undefined) {
    return { kind: 'constant', sources: [], exact: true, pending: true }
  }
  const parameter = analysis.parameters[number - 1]
  if (parameter === undefined || !parameter.known)
    return { kind: 'constant', sources: [], exact: true }
  return withElements({ kind: 'constant', sources: [], literal: parameter.value, exact: true })
}

function withElements(value: Value): Value {
  const elements = typeof value.literal === 'string' ? arrayElements(value.literal) : undefined
  return elements === undefined ? value : { ...value, elements }
}

/** A cast keeps a constant constant; only casts to types that compare exactly keep it a key. */
export function evaluateConstantCast(value: Value, type: TypeMeaning): Value {
  const exact = value.exact === true && (type.exact || (type.array && value.elements !== undefined))
  const { elements, ...rest } = value
  // `{a b}` is one element of an array and two of a tsvector.
  return { ...rest, exact, ...(type.array && elements !== undefined ? { elements } : {}) }
}

/** Elements of a one-dimensional array literal `{1,2,"a b"}`; undefined where it is not one. PostgreSQL docs, "Array Input and Output Syntax". */
export function arrayElements(text: string): readonly (string | null)[] | undefined {
  const body = /^\s*\{([\s\S]*)\}\s*$/.exec(text)?.[1]
  if (body === undefined) return undefined
  if (body.trim() === '') return []
  const elements: (string | null)[] = []
  // Each character can be taken in one way only: a text of spaces must not be tried in all its divisions.
  const pattern = /\s*(?:"((?:[^"\\]|\\.)*)"\s*|([^",{}\\\s][^",{}\\]*))(,|$)/gsy
  let at = 0
  while (at < body.length) {
    pattern.lastIndex = at
    const match = pattern.exec(body)
    if (match === null) return undefined
    const bare = match[2]?.trim()
    if (bare === '') return undefined
    elements.push(
      match[1] !== undefined
        ? match[1].replace(/\\(.)/gs, '$1')
        : bare?.toLowerCase() === 'null'
          ? null
          : (bare ?? null),
    )
    at = pattern.lastIndex
    if (match[3] === '' && at < body.length) return undefined
    if (match[3] === ',' && at >= body.length) return undefined
  }
  return elements
}
