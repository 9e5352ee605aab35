// Owns the values bound to a statement's parameters while it is classified, and whether anything looked at one: what
// looked at none means the same whatever is bound. It must never let a value be read unnoticed.

import type { Parameter } from '../statement.js'
import { textNorm } from '../vector-norm.js'
import { isFields } from './tree.js'

export class BoundParameters {
  readonly #values: readonly Parameter[]
  #looked = false

  constructor(values: readonly Parameter[]) {
    this.#values = values
  }

  /** Whether any value was asked for. */
  get looked(): boolean {
    return this.#looked
  }

  /** The text of `$number` (from 1), null for NULL; undefined where it is not bound or not decoded. */
  text(number: number): string | null | undefined {
    this.#looked = true
    const parameter = this.#values[number - 1]
    return parameter?.known === true ? parameter.value : undefined
  }

  /** The norm of `$number` as a vector, or undefined. */
  norm(number: number): number | undefined {
    this.#looked = true
    const parameter = this.#values[number - 1]
    if (parameter?.known === false) return parameter.norm?.()
    if (parameter?.odd === true) return undefined
    return typeof parameter?.value === 'string' ? textNorm(parameter.value) : undefined
  }
}

/** The highest `$n` of a tree. */
export function highestParameter(root: unknown): number {
  let highest = 0
  const waiting: unknown[] = [root]
  for (
    let value = waiting.pop();
    value !== undefined || waiting.length > 0;
    value = waiting.pop()
  ) {
    if (Array.isArray(value)) waiting.push(...value)
    else if (isFields(value)) {
      const reference = value['ParamRef']
      if (isFields(reference) && typeof reference['number'] === 'number')
        highest = Math.max(highest, reference['number'])
      for (const inner of Object.values(value))
        if (typeof inner === 'object' && inner !== null) waiting.push(inner)
    }
  }
  return highest
}
