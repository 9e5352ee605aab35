// Owns the port through which protocol rooms apply masks; `masking` implements it.

import type { FieldMask } from './decision.js'

/**
 * What a value is, as far as masking cares. `json` is a typed JSON document (json, jsonb, payload): what takes its
 * place is valid JSON, and detectors look inside its strings only.
 */
export type ValueKind = 'text' | 'json' | 'vector' | 'other'

/** A value in its text form. NULL is `null`. */
export interface MaskedText {
  readonly value: string | null
  /** How many findings or values were masked; never what they were. */
  readonly masked: number
}

/** Applies the masks of one field. Built once per result column. Pure; deterministic. */
export interface FieldMasker {
  /** True when every value becomes NULL, so that the value need not be decoded. */
  readonly alwaysNull: boolean
  /** The text that every value becomes, where it is always the same: the value need not be decoded. */
  readonly constant?: string
  /** Masks a value given as text. For kind `other` the answer is NULL (a mask that cannot fit its column). */
  mask(value: string): MaskedText
}

export interface MaskerFactory {
  /** Several masks of one field: the strictest wins. Throws a VgateError when a transform is unknown: the caller denies. */
  forField(masks: readonly FieldMask[], kind: ValueKind): FieldMasker
}
