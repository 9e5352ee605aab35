// Owns constants and parameters: their text where it is known, and whether they name one key exactly.

import { textNorm } from '../vector-norm.js'
import type { Analysis } from './analysis.js'
import type { TypeMeaning } from './names.js'
import { constantText, type Fields, NotUnderstood } from './tree.js'
import { LONG_CONSTANT, type Value } from './value.js'

/** Characters of a literal that counts as no more than any other value. */
const SHORT = 1000

/** A literal as a value. */
export function literalConstant(whole: unknown): Value {
  const constant = constantText(whole)
  if (constant === undefined) throw new NotUnderstood('malformed constant')
  const exact = constant.form !== 'bits'
  const elements = elementsOf(constant.value)
  const { value, form } = constant
  const norm = (): number | undefined => (value === null ? undefined : textNorm(value))
  const identity = `'${form} ${value}`
  const growth = (value?.length ?? 0) > SHORT ? LONG_CONSTANT : 1
  return {
    kind: 'constant',
    sources: [],
    literal: value,
    exact,
    elements,
    norm,
    identity,
    growth,
  }
}

/** A parameter: bound, unbound at prepare, or not decoded. */
export function evaluateParameter(fields: Fields, analysis: Analysis): Value {
  const number = fields['number']
  if (typeof number !== 'number' || number < 1 || number > 65535)
    throw new NotUnderstood('parameter out of range')
  if (analysis.parameters === undefined) {
    return {
      kind: 'constant',
      sources: [],
      exact: true,
      pending: true,
      identity: `$${number}`,
    }
  }
  const { parameters } = analysis
  // Read where it is needed and not before: what is not looked at does not matter.
  return {
    kind: 'constant',
    sources: [],
    exact: true,
    identity: `$${number}`,
    norm: () => parameters.norm(number),
    get literal() {
      return parameters.text(number)
    },
    get elements() {
      return elementsOf(parameters.text(number))
    },
  }
}

function elementsOf(literal: string | null | undefined): Value['elements'] {
  return typeof literal === 'string' ? arrayElements(literal) : undefined
}

/**
 * A cast keeps a constant constant; only casts to types that compare exactly keep it a key. `modified`: it has a length or
 * a precision, which can make another value of it, and a long one of a short one.
 */
export function evaluateConstantCast(value: Value, type: TypeMeaning, modified: boolean): Value {
  const exact = value.exact === true && (type.exact || (type.array && value.elements !== undefined))
  return {
    kind: 'constant',
    sources: value.sources,
    exact,
    ...(value.growth === undefined ? {} : { growth: modified ? LONG_CONSTANT : value.growth }),
    ...(value.pending === true ? { pending: true } : {}),
    ...(value.identity === undefined || modified
      ? {}
      : { identity: `${value.identity}::${type.name}${type.array ? '[]' : ''}` }),
    ...(value.norm !== undefined && type.number && !modified ? { norm: value.norm } : {}),
    get literal() {
      return value.literal
    },
    get elements() {
      // `{a b}` is one element of an array and two of a tsvector.
      return type.array ? value.elements : undefined
    },
  }
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
