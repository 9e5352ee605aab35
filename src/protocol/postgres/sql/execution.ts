// Owns the classification of EXECUTE: its arguments, then the query under the values that they are known to have.

import { isOperation } from '../../../core/operation.js'
import type { Classification, Parameter } from '../statement.js'
import { Analysis, type Surroundings } from './analysis.js'
import { BoundParameters } from './bound-parameters.js'
import { classifyTree, refused } from './classify.js'
import { evaluate } from './expression.js'
import { Scope } from './scope.js'
import { NotUnderstood } from './tree.js'
import type { Value } from './value.js'

/** Classifies a query that is run with these arguments. Never throws. */
export function classifyExecution(
  query: unknown,
  args: readonly unknown[],
  shown: string,
  surroundings: Surroundings,
): Classification {
  const own = new Analysis(surroundings)
  const values = valuesOf(args, own)
  if (values instanceof NotUnderstood)
    return { operation: refused(values.message, shown, values.hint) }
  const parameters = new BoundParameters(values)
  const found = classifyTree(query, shown, { ...surroundings, parameters })
  if (!isOperation(found.operation) || own.functions.size === 0) return found
  const functions = [...new Set([...found.operation.functions, ...own.functions])]
  return { ...found, movesPath: true, operation: { ...found.operation, functions } }
}

/** The arguments as the query's parameters; empty where they are not understood. Never throws. */
export function argumentValues(
  args: readonly unknown[],
  surroundings: Surroundings,
): readonly Parameter[] {
  const values = valuesOf(args, new Analysis(surroundings))
  return values instanceof NotUnderstood ? [] : values
}

function valuesOf(args: readonly unknown[], own: Analysis): readonly Parameter[] | NotUnderstood {
  try {
    const values = args.map((each) => parameterOf(evaluate(each, new Scope(), own)))
    if (own.collections.length === 0 && own.risks.size === 0) return values
    return new NotUnderstood('an argument of EXECUTE may not read anything')
  } catch (error) {
    return error instanceof NotUnderstood ? error : new NotUnderstood('it could not be analysed')
  }
}

/** An argument as the query's parameter, of a type that PREPARE may have named. What is computed, or read by the server in its own way, is not known. */
function parameterOf(value: Value): Parameter {
  if (value.kind !== 'constant' || value.pending === true) return { known: false }
  const { literal, elements } = value
  if (literal === null) return { known: true, value: null }
  if (value.exact !== true) return { known: false }
  // 1.5 is rounded where the parameter is an integer.
  if (typeof literal === 'string')
    return /^[-+\s]*\d*\.?\d*e[-+]?\d+$|^[-+\s]*\d*\.\d*$/i.test(literal)
      ? { known: false }
      : { known: true, value: literal, odd: true }
  return elements === undefined ? { known: false } : arrayOf(elements)
}

function arrayOf(elements: readonly (string | null | undefined)[]): Parameter {
  const texts = elements.map((each) =>
    typeof each === 'string'
      ? `"${each.replace(/["\\]/g, '\\$&')}"`
      : each === null
        ? 'NULL'
        : each,
  )
  return texts.every((each) => each !== undefined)
    ? { known: true, value: `{${texts.join(',')}}`, odd: true }
    : { known: false }
}
