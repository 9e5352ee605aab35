// Owns what the tests of the SQL analysis share: the analyser with its catalogue, and the corpus's policy P1 as
// a small judgement of a classification alone.

import { readFileSync } from 'node:fs'
import type { Operation, Unclassified } from '../../../../../src/core/operation.js'
import { PGVECTOR } from '../../../../../src/databases/pgvector.js'
import { CatalogueSnapshot } from '../../../../../src/protocol/postgres/catalogue.js'
import {
  type CatalogueRows,
  catalogueParts,
} from '../../../../../src/protocol/postgres/catalogue-load.js'
import { createAnalyzer } from '../../../../../src/protocol/postgres/sql/analyzer.js'
import { lineageOf } from '../../../../../src/protocol/postgres/sql/view.js'
import type { Classification, Parameter } from '../../../../../src/protocol/postgres/statement.js'

export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T
}

export const product = PGVECTOR.product
export const analyzer = createAnalyzer(product)
export const catalogue = new CatalogueSnapshot(
  catalogueParts(fixture<CatalogueRows>('catalogue.json'), product),
  lineageOf(product),
)
export const PUBLIC: readonly string[] = ['public']

/** Classifies every statement of a text. A syntax error is Unclassified. */
export function classifyAll(
  text: string,
  parameters?: readonly Parameter[],
  path = PUBLIC,
): readonly Classification[] {
  const parsed = analyzer.parse(text)
  if (!parsed.ok) return [{ operation: { reason: `syntax: ${parsed.message}`, text } }]
  return parsed.statements.map((each) => each.classify(catalogue, path, parameters))
}

export function isRefused(operation: Operation | Unclassified): operation is Unclassified {
  return 'reason' in operation
}

/** The one operation of a text; a refusal fails the test with its reason. */
export function operationOf(
  text: string,
  parameters?: readonly Parameter[],
  path = PUBLIC,
): Operation {
  const [only, ...more] = classifyAll(text, parameters, path)
  if (only === undefined || more.length > 0) throw new Error('expected one statement')
  if (isRefused(only.operation)) throw new Error(`refused: ${only.operation.reason}`)
  return only.operation
}

/** Why a text is refused; fails the test where it is not. */
export function reasonOf(text: string): string {
  const [only] = classifyAll(text)
  if (only === undefined || !isRefused(only.operation)) throw new Error(`not refused: ${text}`)
  return only.operation.reason
}

export const RANK = { allow: 0, mask: 1, limited: 2, approval: 2, deny: 3, reject: 4 } as const
export type Verdict = keyof typeof RANK

const RIGHTS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  alice: { docs: 1, notes: 2, $catalog: 1 },
  dan: { docs: 3, notes: 3, $catalog: 1 },
}
const ACCESS = { none: 0, read: 1, write: 2, admin: 3 } as const

/** The least strict verdict that P1 gives an operation. */
export function judgeP1(operation: Operation | Unclassified, who: string): Verdict {
  if (isRefused(operation) || operation.functions.length > 0) return 'deny'
  if (operation.locks !== undefined) return 'deny'
  const rights = RIGHTS[who] ?? {}
  if (operation.collections.some((use) => ACCESS[use.access] > (rights[use.collection] ?? 0)))
    return 'deny'
  let verdict: Verdict = 'allow'
  const stricter = (next: Verdict): void => {
    if (RANK[next] > RANK[verdict]) verdict = next
  }
  for (const use of operation.fields) {
    if (use.collection !== 'docs') continue
    const text = use.field === 'email' || use.field === 'ssn'
    if (!text && !use.vector) continue
    if (['output', 'whole', 'score'].includes(use.how)) stricter('mask')
    else if (use.how !== 'written' && use.how !== 'nearest') stricter('deny')
  }
  for (const use of operation.collections) {
    if (use.access !== 'write') continue
    const { effect } = use
    if (effect.kind === 'filter' || effect.kind === 'all' || effect.kind === 'unknown')
      stricter('approval')
    if ('count' in effect && effect.count > (effect.kind === 'ids' ? 100 : 1000))
      stricter('approval')
  }
  if (operation.risks.length > 0) stricter('approval')
  const reads = operation.collections.some(
    (use) => use.access === 'read' && use.collection !== '$catalog',
  )
  const { rows } = operation.returns
  if (reads && (rows === 'unbounded' || rows > 1000)) stricter('limited')
  return verdict
}

/** The strictest verdict over the statements of a text. */
export function verdictOf(text: string, who: string): Verdict {
  return classifyAll(text)
    .map((each) => judgeP1(each.operation, who))
    .reduce<Verdict>((most, each) => (RANK[each] > RANK[most] ? each : most), 'allow')
}
