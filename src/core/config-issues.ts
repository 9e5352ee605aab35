// Owns what a schema's complaint says to a person: what was got, what was expected, which key was meant.
// It must never print a value that may be a secret.

import { z } from 'zod'
import { nearestName } from './nearest.js'

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

export interface IssueText {
  readonly path: Path
  readonly message: string
  readonly expected?: string
  readonly hint?: string
}

const NOT_SUPPORTED = 'not supported yet'
const unsupported = new WeakSet<object>()

/** A key that is specified but not built: absent it is fine, present it fails with `not supported yet`. */
export function notSupportedYet(): z.ZodOptional<z.ZodNever> {
  const schema = z.never({ error: NOT_SUPPORTED }).optional()
  unsupported.add(schema)
  return schema
}

/** Texts for the issues of a failed parse of `input` against `schema`. */
export function issueTexts(
  issues: readonly Issue[],
  schema: z.ZodType,
  input: unknown,
): IssueText[] {
  return issues.flatMap((issue) => describe(issue, [], schema, input))
}

function describe(issue: Issue, prefix: Path, schema: z.ZodType, input: unknown): IssueText[] {
  const path = [...prefix, ...plain(issue.path)]
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, path)
    return issue.keys.map((key) => unknownKey([...path, key], key, known))
  }
  if (issue.code === 'invalid_union') return describeUnion(issue, path, schema, input)
  if (issue.code === 'invalid_key' || issue.code === 'invalid_element') {
    const inner = issue.issues[0]
    return inner === undefined
      ? [{ path, message: lower(issue.message) }]
      : [{ ...textOf(inner, path, String(path.at(-1))), path }]
  }
  return [textOf(issue, path, valueAt(input, path))]
}

function textOf(issue: Issue, path: Path, value: unknown): IssueText {
  if (!/^(Invalid|Too|Unrecognized)/.test(issue.message)) {
    if (!issue.message.startsWith('expected ')) return { path, message: issue.message }
    return got(path, value, issue.message.slice('expected '.length))
  }
  return got(path, value, expectedOf(issue))
}

function got(path: Path, value: unknown, expected: string): IssueText {
  return { path, message: `got ${show(value, path)}, expected ${expected}`, expected }
}

function expectedOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPE_NAMES[issue.expected] ?? issue.expected
    case 'invalid_value':
      return issue.values.length === 1
        ? String(issue.values[0])
        : `one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return `${sizeOf(issue.origin)}at least ${issue.minimum}`
    case 'too_big':
      return `${sizeOf(issue.origin)}at most ${issue.maximum}`
    case 'invalid_format':
      return issue.format === 'regex' ? `text that matches ${issue.pattern}` : issue.format
    default:
      return lower(issue.message)
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
}

function sizeOf(origin: string): string {
  if (origin === 'array') return 'a list of '
  return origin === 'string' ? 'a length of ' : ''
}

/** The complaint of the branch that was meant: the one that got furthest; all alternatives where none did. */
function describeUnion(
  issue: Issue & { code: 'invalid_union' },
  path: Path,
  schema: z.ZodType,
  input: unknown,
): IssueText[] {
  const value = valueAt(input, path)
  if (issue.errors.length === 0) {
    const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : undefined
    if (value === undefined || options === undefined)
      return [got(path, value, 'one of the known types')]
    return [got(path, value, `one of ${options.map(String).join(', ')}`)]
  }
  const meant = issue.errors.filter(
    (branch) => !branch.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0),
  )
  const best = meant.sort((a, b) => a.length - b.length)[0]
  if (best !== undefined) {
    return best.flatMap((inner) => describe(inner, path, schema, input))
  }
  const expected = new Set(issue.errors.flatMap((branch) => branch.slice(0, 1).map(expectedOf)))
  return [got(path, value, [...expected].join(' or '))]
}

function unknownKey(path: Path, key: string, known: readonly string[]): IssueText {
  const near = nearestName(key, known)
  if (near !== undefined) return { path, message: 'unknown key', hint: `did you mean "${near}"?` }
  return known.length === 0
    ? { path, message: 'unknown key' }
    : { path, message: 'unknown key', hint: `known keys: ${known.join(', ')}` }
}

/** Keys that the schema knows at a path, through optional, lists, maps and alternatives; the supported ones only. */
function knownKeys(schema: z.core.$ZodType, path: Path): string[] {
  const keys = new Set<string>()
  for (const place of placesAt(schema, path)) {
    if (!(place instanceof z.ZodObject)) continue
    for (const [key, member] of Object.entries(place.shape)) {
      if (typeof member === 'object' && !unsupported.has(member)) keys.add(key)
    }
  }
  return [...keys]
}

function placesAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType[] {
  const inner = unwrapped(schema)
  if (inner !== undefined) return inner.flatMap((one) => placesAt(one, path))
  const [part, ...rest] = path
  if (part === undefined) return [schema]
  if (schema instanceof z.ZodArray) return placesAt(schema.element, rest)
  if (schema instanceof z.ZodRecord) return placesAt(schema.valueType, rest)
  if (schema instanceof z.ZodObject) {
    const member: unknown = Object.hasOwn(schema.shape, part) ? schema.shape[part] : undefined
    return member instanceof z.ZodType ? placesAt(member, rest) : []
  }
  return []
}

function unwrapped(schema: z.core.$ZodType): readonly z.core.$ZodType[] | undefined {
  if (schema instanceof z.ZodUnion) return schema.options
  if (schema instanceof z.ZodPipe) return [schema.in]
  if (schema instanceof z.ZodLazy) return [schema.unwrap()]
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  ) {
    return [schema.unwrap()]
  }
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault
    ? [schema.def.innerType]
    : undefined
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = Reflect.get(value, part)
  }
  return value
}

/** A value as a person may see it: a short plain word, unless its place or its form may hold a secret. */
function show(value: unknown, path: Path): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  const guarded = path.some((part) =>
    /pass|secret|token|key|credential|hook|hec/i.test(String(part)),
  )
  if (guarded) return typeof value === 'string' ? 'text' : `a ${typeof value}`
  if (typeof value === 'string') {
    return value.length <= 40 && /^[\w$*.:/ -]*$/.test(value) ? JSON.stringify(value) : 'text'
  }
  return String(value)
}

function plain(path: readonly PropertyKey[]): Path {
  return path.map((part) => (typeof part === 'symbol' ? String(part) : part))
}

function lower(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
