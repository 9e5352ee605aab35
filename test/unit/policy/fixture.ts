// Owns what the tests of the policy are built from: a policy, people and operations.

import type { Decision } from '../../../src/core/decision.js'
import type {
  CollectionUse,
  FieldHow,
  FieldUse,
  Operation,
  Output,
} from '../../../src/core/operation.js'
import type { Principal } from '../../../src/core/principal.js'
import {
  type CompiledPolicy,
  type CompileOptions,
  compilePolicy,
} from '../../../src/policy/compile.js'
import { decide } from '../../../src/policy/decide.js'
import { loadPolicy } from '../../../src/policy/schema.js'

export const ACTIONS = [
  'connect',
  'search',
  'get',
  'scroll',
  'count',
  'insert',
  'upsert',
  'update',
  'update_by_filter',
  'delete',
  'delete_by_filter',
  'truncate',
  'batch_write',
  'export',
  'drop_collection',
  'rebuild_index',
  'flush',
  'describe_collection',
]

export const OPTIONS: CompileOptions = { actions: ACTIONS, peopleProviders: ['corp'] }

export const POLICY = `
roles:
  reader:
    allow:
      - { access: read, collections: [docs, "products_*"] }
    deny: [{ operations: [scroll], collections: [docs] }]
    mask:
      - { collections: [docs], fields: [email, meta.phone], with: redact, filter: equality }
      - { collections: [docs], fields: [ssn], with: null }
      - { collections: [docs], fields: [body], detect: [email], with: partial }
      - { collections: [docs], vectors: drop }
    limits: { rows: 500 }
    functions: ["app.rank(text, int)"]
  ingest: { allow: [{ operations: [upsert, insert, delete_by_filter], collections: [docs] }] }
  owner: { allow: [{ access: admin, collections: ["*"] }], record: metadata }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-*], grant: { default: 30m, max: 4h, reason: required } }
  - { who: { group: corp:owners }, role: owner, targets: [prod-vectors], grant: { max: 1h, ticket: optional } }
  - { who: { group: corp:pipelines }, role: ingest, targets: ["*"] }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export, drop] }, except: [{ role: ingest }] }
deny:
  - { match: { operations: [truncate] }, targets: [prod-*] }
`

export function compile(source: string, options: CompileOptions = OPTIONS): CompiledPolicy {
  return compilePolicy(loadPolicy(source, 'policy.yaml'), options)
}

export function person(...groups: string[]): Principal {
  const subject = 'u1'
  return {
    id: 'usr_1',
    kind: 'person',
    provider: 'corp',
    issuer: 'https://id.example',
    subject,
    name: 'Ana',
    groups,
    claims: {},
  }
}

export const everyone = person('corp:data-science', 'corp:owners', 'corp:pipelines')

export const use = (
  collection: string,
  action: string,
  more: Partial<CollectionUse> = {},
): CollectionUse => ({
  collection,
  action,
  access: 'read',
  effect: { kind: 'none' },
  ...more,
})

export const field = (
  name: string,
  how: FieldHow,
  vector = false,
  collection = 'docs',
): FieldUse => ({ collection, field: name, how, vector })

export const column = (name: string, vector = false): Output => ({
  name,
  kind: 'column',
  sources: [{ collection: 'docs', field: name, vector }],
})

export function operation(
  name: string,
  collections: readonly CollectionUse[],
  more: Partial<Operation> = {},
): Operation {
  const ranks = ['none', 'read', 'write', 'admin'] as const
  const access =
    ranks[Math.max(0, ...collections.map((one) => ranks.indexOf(one.access)))] ?? 'none'
  return {
    name,
    access,
    collections,
    fields: [],
    returns: { rows: 0, outputs: [] },
    risks: [],
    functions: [],
    text: name,
    ...more,
  }
}

export interface Asked {
  readonly policy?: CompiledPolicy
  readonly principal?: Principal
  readonly target?: string
  readonly contact?: string
  readonly phase?: 'prepare' | 'execute'
}

const compiled = compile(POLICY)

export function ask(roles: readonly string[], one: Operation, more: Asked = {}): Decision {
  return decide(more.policy ?? compiled, {
    principal: more.principal ?? everyone,
    roles,
    target: more.target ?? 'prod-vectors',
    ...(more.contact === undefined ? {} : { contact: more.contact }),
    operation: one,
    phase: more.phase ?? 'execute',
  })
}

/** `permit built-in`, `deny default deny`, `hold holds.destructive`. */
export function short(decision: Decision): string {
  return `${decision.verdict} ${decision.rule}`
}
