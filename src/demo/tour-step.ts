// Owns the form of one step of the tour.

import type { TourState } from './tour-state.js'

export interface Check {
  readonly expected: string
  readonly ok: boolean
  readonly seen: unknown
}

export interface Played {
  /** For the reader. */
  readonly shown: readonly string[]
  readonly checks: readonly Check[]
}

export interface Step {
  readonly name: string
  readonly caption: string
  /** What a person would type. */
  readonly typed: readonly string[]
  readonly play: (state: TourState) => Promise<Played>
}

export const check = (expected: string, ok: boolean, seen: unknown): Check => ({
  expected,
  ok,
  seen,
})
