// Owns the corpus of hostile inputs as data: reading it, its verdicts and their order, and the search for
// leaked values. Never runs anything.

import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { z } from 'zod'

/** Weakest first. `limited` (a read that failed at its limit) ranks with `approval`. */
const RANK = { allow: 0, mask: 1, approval: 2, limited: 2, deny: 3, reject: 4 } as const

const verdict = z.enum(['allow', 'mask', 'approval', 'limited', 'deny', 'reject'])
export type Verdict = z.infer<typeof verdict>

const values = z.array(z.union([z.string(), z.null()]))
const messageStep = z.strictObject({
  m: z.string(),
  sql: z.string().optional(),
  name: z.string().optional(),
  oids: z.array(z.number()).optional(),
  portal: z.string().optional(),
  stmt: z.string().optional(),
  params: values.optional(),
  pfmt: z.array(z.number()).optional(),
  rfmt: z.array(z.number()).optional(),
  kind: z.string().optional(),
  max: z.number().optional(),
  oid: z.number().optional(),
  args: values.optional(),
  fmt: z.number().optional(),
  data: z.string().optional(),
  reason: z.string().optional(),
})

const parameters = z.record(z.string(), z.string())
/** One step of a script. Strict: a step that the driver would not know stops the run, it is never passed over. */
const step = z.union([
  messageStep,
  z.strictObject({ startup: parameters, proto: z.number().optional() }),
  z.strictObject({ startup_dup: z.array(z.tuple([z.string(), z.string()])) }),
  z.strictObject({ ssl: z.literal(true) }),
  z.strictObject({ gssenc: z.literal(true) }),
  z.strictObject({ hex: z.string() }),
  z.strictObject({ hex_immediately: z.string() }),
  z.strictObject({ bytes_hex: z.string() }),
  z.strictObject({ text: z.string() }),
  z.strictObject({ expect_close_or_error_within_s: z.number() }),
  z.strictObject({ upstream_sends: z.string() }),
  z.strictObject({ two_clients: z.literal(true), script: z.string() }),
  z.strictObject({ await: z.string() }),
  z.strictObject({ approve: z.boolean() }),
  z.strictObject({ approve_concurrently: z.number() }),
  z.strictObject({ revoke_grant: z.string() }),
])
export type Step = z.infer<typeof step>

const generated = z.strictObject({
  generate: z.union([
    z.strictObject({ parts: z.array(z.union([z.string(), z.tuple([z.string(), z.number()])])) }),
    z.strictObject({
      sequence: z.array(z.string()),
      then_repeat: z.tuple([z.string(), z.number()]),
    }),
  ]),
})

const itemSchema = z.object({
  id: z.string(),
  plane: z.literal('postgres'),
  category: z.string(),
  as: z.enum(['alice', 'dan']),
  mode: z.enum(['simple', 'simple-sequence', 'messages', 'raw-connection']),
  send: z.union([z.string(), generated, z.array(z.union([z.string(), step]))]),
  expect: verdict,
  also_ok: z.array(verdict).default([]),
  leak_marker: z.array(z.string()).default([]),
  leak_hex: z.array(z.string()).default([]),
  must_not_change: z.array(z.enum(['notes', 'docs', 'catalog'])).default([]),
  direct_pg15: z
    .union([
      z.string(),
      z.object({
        leaks: z.boolean().default(false),
        changes: z.array(z.string()).default([]),
        error: z.string().optional(),
      }),
    ])
    .optional(),
  why: z.string().optional(),
})
export type CorpusItem = z.infer<typeof itemSchema>

/** The corpus' items for PostgreSQL, in their order in the file. */
export function postgresItems(): CorpusItem[] {
  const file = new URL('../corpus/bypass-corpus.yaml', import.meta.url)
  const corpus = z
    .object({ items: z.array(z.looseObject({ plane: z.string() })) })
    .parse(parse(readFileSync(file, 'utf8')))
  return corpus.items
    .filter((item) => item.plane === 'postgres')
    .map((item) => itemSchema.parse(item))
}

/** What an item sends: texts for simple queries, steps for everything else; generators written out. */
export function stepsOf(item: CorpusItem): (string | Step)[] {
  if (typeof item.send === 'string') return [item.send]
  if (Array.isArray(item.send)) return item.send
  const { generate } = item.send
  if ('parts' in generate) {
    const text = generate.parts
      .map((part) => (typeof part === 'string' ? part : part[0].repeat(part[1])))
      .join('')
    return [text]
  }
  const [repeated, times] = generate.then_repeat
  return [...generate.sequence, ...Array.from({ length: times }, () => repeated)]
}

/** True when `observed` is weaker than the item's verdict and than all that it accepts beside it. */
export function isBypass(item: CorpusItem, observed: Verdict): boolean {
  const accepted = [item.expect, ...item.also_ok].map((one) => RANK[one])
  return RANK[observed] < Math.min(...accepted)
}

/** True when `observed` refuses more than the item states or accepts: something useful may have been lost. */
export function isStricter(item: CorpusItem, observed: Verdict): boolean {
  const accepted = [item.expect, ...item.also_ok].map((one) => RANK[one])
  return RANK[observed] > Math.max(...accepted)
}

/** The item's markers that stand in `bytes`, plain in any case or encoded. */
export function leaksIn(item: CorpusItem, bytes: Buffer): string[] {
  const haystack = bytes.toString('latin1').toLowerCase()
  const exact = bytes.toString('latin1')
  const found = item.leak_marker.filter(
    (marker) =>
      formsOf(marker).some((form) => haystack.includes(form.toLowerCase())) ||
      base64Forms(marker).some((form) => exact.includes(form)),
  )
  return [...found, ...item.leak_hex.filter((hex) => bytes.includes(Buffer.from(hex, 'hex')))]
}

function formsOf(marker: string): string[] {
  const digits = marker.replace(/\D/g, '')
  return [
    marker,
    [...marker].reverse().join(''),
    Buffer.from(marker).toString('hex'),
    ...(digits.length >= 4 ? [digits] : []),
  ]
}

/** The part of a marker's base64 that stays the same wherever in the encoded text the marker stands. */
function base64Forms(marker: string): string[] {
  return [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), Buffer.from(marker)]).toString('base64')
    const whole = Math.floor(((Buffer.byteLength(marker) + shift) * 8) / 6)
    return text.slice(Math.ceil((shift * 8) / 6), whole)
  })
}
