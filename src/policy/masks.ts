// Owns how masks meet an operation's fields: which leave masked, and which uses are refused because they would tell
// what the mask hides. Lineage first: a use that is not understood is refused.

import type { FieldMask, FieldTransform, ScoreTransform } from '../core/decision.js'
import type { Cutoff, FieldHow, FieldUse, Operation } from '../core/operation.js'
import type { CompiledRole, MaskRule } from './compile.js'
import { covers } from './glob.js'

/** A use that a mask does not allow. */
export interface MaskRefusal {
  readonly rule: string
  readonly collection: string
  readonly field: string
  /** What the operation would do with the field, as a person says it. */
  readonly act: string
  /** True when one equality would have been allowed. */
  readonly equality: boolean
  /** What could be done instead, where there is something. */
  readonly advice?: string
}

export type MaskOutcome =
  | { readonly refused: MaskRefusal }
  | { readonly refused?: never; readonly masks: readonly FieldMask[] }

const ACTS: Readonly<Record<FieldHow, string>> = {
  output: 'return',
  score: 'return a distance to',
  whole: 'return',
  derived: 'compute with',
  copied: 'copy',
  equality: 'filter by',
  nearest: 'order by distance to',
  cutoff: 'keep what is within that distance of',
  predicate: 'filter by',
  order: 'sort by',
  group: 'group by',
  join: 'join on',
  written: 'write',
  exists: 'write what tells which values are in',
}

/** One mask on one field: the whole value, or a path inside it. */
interface Hit {
  readonly rule: MaskRule
  readonly path: readonly string[]
}

/** Applies the masks of every role held: a field that one of them masks is masked. */
export function applyMasks(roles: readonly CompiledRole[], operation: Operation): MaskOutcome {
  const rules = roles.flatMap((role) => role.masks)
  if (rules.length === 0) return { masks: [] }
  const masks = new Map<string, FieldMask>()
  let equalities = 0
  for (const use of [...operation.fields, ...outputUses(operation)]) {
    const hits = rules.flatMap((rule) => hitsOf(rule, use))
    const first = hits[0]
    if (first === undefined) continue
    if (use.how === 'equality' || use.how === 'exists') equalities += 1
    if (!allowed(use, hits, equalities)) {
      const culprit = hits.find((hit) => !hit.rule.equality) ?? first
      return {
        refused: {
          rule: culprit.rule.rule,
          collection: use.collection,
          field: use.field,
          act: ACTS[use.how] ?? 'use',
          equality: hits.every((hit) => hit.rule.equality),
          ...(use.cutoff === undefined || !use.vector
            ? {}
            : { advice: cutoffAdvice(use.cutoff, strictestScores(hits)) }),
        },
      }
    }
    if (use.how === 'output' || use.how === 'whole' || use.how === 'score')
      addMasks(masks, use, hits)
  }
  return { masks: [...masks.values()] }
}

/** Outputs as uses, so that a result column is masked even where the list of fields forgot it. */
function outputUses(operation: Operation): FieldUse[] {
  return operation.returns.outputs.flatMap((output) =>
    output.sources.map((source) => ({
      ...source,
      how: output.kind === 'column' ? ('output' as const) : output.kind,
    })),
  )
}

function hitsOf(rule: MaskRule, use: FieldUse): Hit[] {
  if (!rule.collections.some((pattern) => covers(pattern, use.collection))) return []
  if (rule.fields === undefined) return use.vector || use.field === '*' ? [{ rule, path: [] }] : []
  return rule.fields.flatMap((field) => {
    const path = pathInto(field, use.field)
    return path === undefined ? [] : [{ rule, path }]
  })
}

/** Undefined when the mask of `field` does not concern the use; else where inside the used value the masked part stands. */
function pathInto(field: string, used: string): readonly string[] | undefined {
  if (used === '*' || used === field || used.startsWith(`${field}.`)) return []
  return field.startsWith(`${used}.`) ? field.slice(used.length + 1).split('.') : undefined
}

function allowed(use: FieldUse, hits: readonly Hit[], equalities: number): boolean {
  switch (use.how) {
    case 'written':
      return true
    case 'output':
    case 'whole':
      return use.field !== '*'
    case 'score':
    case 'nearest':
      return use.vector
    case 'cutoff':
      return use.vector && isOnStep(use.cutoff?.at, strictestScores(hits))
    case 'equality':
    case 'exists':
      // One guess a request: two together would already be a search.
      return equalities === 1 && hits.every((hit) => hit.rule.equality)
    default:
      return false
  }
}

function addMasks(masks: Map<string, FieldMask>, use: FieldUse, hits: readonly Hit[]): void {
  for (const hit of hits) {
    const key = JSON.stringify([use.collection, use.field, hit.path])
    const scores = use.vector ? hit.rule.scores : 'exact'
    const known = masks.get(key)
    masks.set(key, {
      collection: use.collection,
      field: use.field,
      ...(hit.path.length === 0 ? {} : { path: hit.path }),
      transforms: withTransform(known?.transforms ?? [], hit.rule.transform),
      scores: known === undefined ? scores : stricterScore(known.scores, scores),
      rule: withRule(known?.rule, hit.rule.rule),
    })
  }
}

function withTransform(
  list: readonly FieldTransform[],
  one: FieldTransform,
): readonly FieldTransform[] {
  const text = JSON.stringify(one)
  return list.some((known) => JSON.stringify(known) === text) ? list : [...list, one]
}

function withRule(rules: string | undefined, rule: string): string {
  if (rules === undefined) return rule
  return rules.split(', ').includes(rule) ? rules : `${rules}, ${rule}`
}

function strictestScores(hits: readonly Hit[]): ScoreTransform {
  return hits.map(({ rule }) => rule.scores).reduce(stricterScore, 'exact')
}

/** Part of a step by which a cut-off may miss it: the norm that it was divided by is no round number. */
const STEP_SLACK = 1e-3

/** Cutting off at a step tells about as much as the rounded distance; anywhere else it would tell more. */
function isOnStep(at: Cutoff['at'], scores: ScoreTransform): boolean {
  // What is bound is judged again.
  if (scores === 'exact' || (at === 'pending' && scores !== 'hide')) return true
  if (scores === 'hide' || typeof at !== 'number') return false
  const steps = at * 10 ** scores.round
  return Math.abs(steps) < 1e12 && Math.abs(steps - Math.round(steps)) <= STEP_SLACK
}

function cutoffAdvice({ at, unit = 1, complement }: Cutoff, scores: ScoreTransform): string {
  if (scores === 'hide' || scores === 'exact')
    return 'order by distance with LIMIT: its distances are hidden'
  const { round } = scores
  if (typeof at !== 'number' || Math.abs(at) >= 1e12)
    return `compare one distance with a number or a parameter that is sent as text, at most ${round} digits behind the point; an inner product needs a vector whose length is known`
  const nearest = Number(at.toFixed(round)) * unit
  const written = complement === true ? 1 - nearest : nearest
  const shown = unit === 1 ? written.toFixed(round) : String(written)
  return `cut off at a distance of at most ${round} digits behind the point; the nearest is ${shown}`
}

/** hide, then fewer digits, then exact. */
function stricterScore(a: ScoreTransform, b: ScoreTransform): ScoreTransform {
  return digits(a) <= digits(b) ? a : b
}

function digits(scores: ScoreTransform): number {
  if (scores === 'hide') return -1
  return scores === 'exact' ? Number.POSITIVE_INFINITY : scores.round
}
