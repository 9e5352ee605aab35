// Owns the form of policy.yaml: its keys, their types and their limits. What one part says of another is checked in
// compile.ts. A key that is specified but not built is refused by name.

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { notSupportedYet } from '../core/config-issues.js'
import { DETECTORS } from '../core/decision.js'
import type { JsonValue } from '../core/json.js'
import { RISKS } from '../core/operation.js'
import { readStrictYaml, type StrictDocument } from '../core/strict-yaml.js'
import { duration, percent, rate, size } from '../core/units.js'
import { claimProblem } from './claims.js'
import { patternProblem } from './glob.js'
import { parseUntil } from './until.js'

const pattern = z.string().superRefine((text, context) => {
  const problem = patternProblem(text)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})
const patterns = z.array(pattern).min(1)
const names = z.array(z.string().min(1)).min(1)
const count = z.number().int().min(1).max(1_000_000_000)
const roleName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,62}$/i, { error: 'expected a name of letters, digits, - and _' })
const accessLevel = z.enum(['read', 'write', 'admin'])

const thresholds = z.strictObject({
  /** A delete or update of more keys is a bulk one. */
  ids: z.number().int().min(0).max(1_000_000_000).optional(),
  /** A write or a read of more rows is a bulk one. */
  rows: count.optional(),
  /** The window in which distinct keys and rows are counted, in milliseconds. */
  per: duration().optional(),
})

const allowRule = z
  .strictObject({
    access: accessLevel.optional(),
    operations: names.optional(),
    collections: patterns,
    when: notSupportedYet(),
  })
  .superRefine((rule, context) => {
    if ((rule.access === undefined) === (rule.operations === undefined)) {
      context.addIssue({ code: 'custom', message: 'expected either access or operations' })
    }
  })

const roleDeny = z
  .strictObject({
    access: accessLevel.optional(),
    operations: names.optional(),
    collections: patterns.optional(),
    when: notSupportedYet(),
  })
  .superRefine(notEmpty)

const detector = z.string().superRefine((name, context) => {
  if ((DETECTORS as readonly string[]).includes(name) || name.startsWith('re2:')) return
  const message = `expected one of ${DETECTORS.join(', ')} or re2:PATTERN`
  context.addIssue({ code: 'custom', message })
})

const mask = z
  .strictObject({
    collections: patterns,
    fields: names.optional(),
    detect: z.array(detector).min(1).optional(),
    // `with: null` is YAML's null; what it asks for is the same.
    with: z
      .literal(['redact', 'partial', 'hash', 'null', null])
      .transform((value) => value ?? ('null' as const))
      .optional(),
    filter: z.enum(['deny', 'equality']).optional(),
    vectors: z.literal('drop').optional(),
    scores: z
      .union([z.strictObject({ round: z.number().int().min(0).max(6) }), z.enum(['hide', 'exact'])])
      .optional(),
    when: notSupportedYet(),
  })
  .superRefine((rule, context) => {
    const problem = maskProblem(rule)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })

function maskProblem(rule: {
  readonly fields?: unknown
  readonly detect?: unknown
  readonly with?: unknown
  readonly filter?: unknown
  readonly vectors?: unknown
  readonly scores?: unknown
}): string | undefined {
  if ((rule.fields === undefined) === (rule.vectors === undefined)) {
    return 'expected either fields or vectors; write two masks for both'
  }
  if (rule.fields !== undefined) {
    if (rule.with === undefined) return 'expected with: redact, partial, hash or null'
    return rule.scores === undefined ? undefined : 'expected scores beside vectors: drop only'
  }
  return rule.with === undefined && rule.detect === undefined && rule.filter === undefined
    ? undefined
    : 'expected nothing but scores beside vectors: drop'
}

const amount = z.number().int().min(0).max(1_000_000_000_000)

const budget = z
  .strictObject({
    collections: patterns,
    rows: amount.optional(),
    /** Embeddings. */
    vectors: amount.optional(),
    /** Part of each collection's rows. */
    share: percent().optional(),
    /** Distances to vectors that the caller chose. */
    probes: amount.optional(),
    per: duration(),
  })
  .superRefine((entry, context) => {
    const { rows, vectors, share, probes } = entry
    if ([rows, vectors, share, probes].some((one) => one !== undefined)) return
    const message = 'expected at least one of rows, vectors, share and probes'
    context.addIssue({ code: 'custom', message })
  })

const role = z.strictObject({
  allow: z.array(allowRule).min(1),
  deny: z.array(roleDeny).min(1).optional(),
  mask: z.array(mask).min(1).optional(),
  limits: z
    .strictObject({
      rows: count.optional(),
      /** Of one result. */
      bytes: size().optional(),
      rate: rate().optional(),
    })
    .optional(),
  budget: z.array(budget).min(1).optional(),
  functions: z
    .array(
      z.string().regex(/^[^\s().]+\.[^\s().]+\([^()]*\)$/, {
        error: 'expected a function with its schema and types, such as app.rank(text)',
      }),
    )
    .optional(),
  record: z.enum(['full', 'text', 'metadata']).optional(),
  thresholds: thresholds.optional(),
})

const claimValue: z.ZodType<JsonValue> = z.unknown().transform((value, context) => {
  const parsed = z.json().safeParse(value)
  const problem = !parsed.success
    ? 'expected text, a number, true or false, or a list or map of them'
    : typeof parsed.data === 'string'
      ? claimProblem(parsed.data)
      : undefined
  if (parsed.success && problem === undefined && parsed.data !== null) return parsed.data
  context.addIssue({ code: 'custom', message: problem ?? 'expected a value' })
  return z.NEVER
})

/** A group, or a workload by its provider and claims. */
const who = z
  .strictObject({
    group: z.string().min(1).optional(),
    provider: z.string().min(1).optional(),
    claims: z.record(z.string().min(1).max(200), claimValue).optional(),
  })
  .superRefine((entry, context) => {
    const workload = entry.provider !== undefined || entry.claims !== undefined
    const problem =
      (entry.group === undefined) === !workload
        ? 'expected either group, or provider and claims'
        : workload && entry.provider === undefined
          ? 'expected provider beside claims'
          : // Without claims every workload of the issuer would do.
            workload && Object.keys(entry.claims ?? {}).length === 0
            ? 'expected claims beside provider, at least one'
            : undefined
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })

const until = z.string().superRefine((text, context) => {
  if (parseUntil(text) !== undefined) return
  const message = 'expected a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z'
  context.addIssue({ code: 'custom', message })
})

const approval = z.strictObject({
  /** Groups of people. */
  by: names,
  count: z.number().int().min(1).max(20).optional(),
  expires: duration().optional(),
})

const access = z.strictObject({
  who,
  role: z.string(),
  targets: patterns,
  requires: notSupportedYet(),
  grant: z
    .strictObject({
      default: duration().optional(),
      max: duration().optional(),
      reason: z.enum(['required', 'optional']).optional(),
      ticket: z.enum(['required', 'optional']).optional(),
      approval: approval.optional(),
      schedule: notSupportedYet(),
    })
    .optional(),
  owner: z.string().min(1).max(300).optional(),
  until: until.optional(),
})

const hold = z.strictObject({
  name: roleName,
  match: z
    .strictObject({
      risk: z.array(z.enum(RISKS)).min(1).optional(),
      operations: names.optional(),
      collections: patterns.optional(),
    })
    .superRefine(notEmpty),
  except: z
    .array(z.strictObject({ role: z.string() }))
    .min(1)
    .optional(),
  approval: approval.optional(),
  inTransaction: duration().optional(),
})

const deny = z.strictObject({
  match: z
    .strictObject({
      operations: names.optional(),
      risk: z.array(z.enum(RISKS)).min(1).optional(),
      access: accessLevel.optional(),
      collections: patterns.optional(),
      when: notSupportedYet(),
    })
    .superRefine(notEmpty),
  targets: patterns.optional(),
})

function notEmpty(rule: object, context: z.core.$RefinementCtx<object>): void {
  if (Object.values(rule).some((value) => value !== undefined)) return
  context.addIssue({ code: 'custom', message: 'expected at least one condition' })
}

const policy = z.strictObject({
  thresholds: thresholds.optional(),
  roles: z.record(roleName, role),
  access: z.array(access),
  holds: z.array(hold).optional(),
  deny: z.array(deny).optional(),
  breakGlass: notSupportedYet(),
})

export type PolicyFile = z.infer<typeof policy>
export type RoleEntry = z.infer<typeof role>
export type MaskEntry = z.infer<typeof mask>

/** A policy whose form is right. Names in it are not yet resolved. */
export interface PolicyDocument extends StrictDocument<PolicyFile> {
  /** SHA-256 of the source in hex: two policies are the same when their texts are. */
  readonly hash: string
}

/** Reads policy.yaml. `file` is how messages name it. Throws a ConfigError with every problem of form. */
export function loadPolicy(source: string, file: string): PolicyDocument {
  return { ...readStrictYaml(source, file, policy), hash: policyHash(source) }
}

/** The hash under which a policy's source is known, in hex. */
export function policyHash(source: string): string {
  return createHash('sha256').update(source).digest('hex')
}
