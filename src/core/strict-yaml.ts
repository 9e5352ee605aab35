// Owns reading a configuration file strictly: YAML 1.2 core, one document, one meaning, and every problem told with
// line and column. It must never guess, drop a key, or print a value that may be a secret.

import {
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  visit,
} from 'yaml'
import type { ZodType } from 'zod'
import { type IssueText, issueTexts } from './config-issues.js'
import { VgateError } from './errors.js'

/** Larger files are refused unread. Bytes (UTF-16 units). */
export const MAX_CONFIG_LENGTH = 1024 * 1024

/** Deeper nesting is refused. */
const MAX_DEPTH = 64

/** Keys that mean something to JavaScript itself; a map with one of them would not hold what it shows. */
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype'])

export type ConfigPath = readonly (string | number)[]

/** One problem of a configuration file. Lines and columns count from 1. */
export interface ConfigIssue {
  readonly file: string
  readonly line: number
  readonly column: number
  /** `roles.reader.allow[0].access`; empty for the file as a whole. */
  readonly path: string
  /** Such as `got a number, expected one of read, write, admin`, `unknown key`, `not supported yet`. */
  readonly message: string
  readonly expected?: string
  readonly hint?: string
}

/** A file that cannot be used. The message lists every issue on a line of its own. */
export class ConfigError extends VgateError {
  readonly issues: readonly ConfigIssue[]

  constructor(issues: readonly ConfigIssue[]) {
    super('VGATE_CONFIG_INVALID', issues.map(formatIssue).join('\n'), {
      hint: 'correct the file and check it again with `vgate gateway check`',
    })
    this.name = 'ConfigError'
    this.issues = issues
  }
}

/** A file that was read, and where its members stand, for checks that a schema cannot make. */
export interface StrictDocument<T> {
  readonly file: string
  readonly value: T
  /** An issue at the key (or list item) that `path` names; the nearest one above it where the path does not exist. */
  issueAt(path: ConfigPath, message: string, hint?: string): ConfigIssue
}

/** Reads a strict YAML file against a schema. Throws a ConfigError with every issue found. */
export function loadStrictYaml<T>(source: string, file: string, schema: ZodType<T>): T {
  return readStrictYaml(source, file, schema).value
}

/** As `loadStrictYaml`, with positions kept. */
export function readStrictYaml<T>(
  source: string,
  file: string,
  schema: ZodType<T>,
): StrictDocument<T> {
  const tree = parseTree(source, file)
  const issueAt = (path: ConfigPath, message: string, hint?: string): ConfigIssue => ({
    file,
    ...positionOf(tree, path),
    path: formatPath(path),
    message,
    ...(hint === undefined ? {} : { hint }),
  })
  const result = schema.safeParse(tree.value, { reportInput: true })
  if (!result.success) {
    throw new ConfigError(
      inFileOrder(
        issueTexts(result.error.issues, schema, tree.value).map((text: IssueText) => ({
          ...issueAt(text.path, text.message, text.hint),
          ...(text.expected === undefined ? {} : { expected: text.expected }),
        })),
      ),
    )
  }
  return { file, value: result.data, issueAt }
}

/** `roles.reader.allow[0]`; a name with other characters is quoted: `targets["a b"]`. */
export function formatPath(path: ConfigPath): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w$*-]+$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(part)}]`
  }
  return text
}

/** `file:line:column: path: message; hint`. */
export function formatIssue(issue: ConfigIssue): string {
  const path = issue.path === '' ? '' : `${issue.path}: `
  const hint = issue.hint === undefined ? '' : `; ${issue.hint}`
  return `${issue.file}:${issue.line}:${issue.column}: ${path}${issue.message}${hint}`
}

/** Issues by line and column, the order in which a person corrects them. */
export function inFileOrder(issues: readonly ConfigIssue[]): ConfigIssue[] {
  return [...issues].sort((a, b) => a.line - b.line || a.column - b.column)
}

interface Tree {
  readonly root: Node | null
  readonly lines: LineCounter
  readonly value: unknown
}

function parseTree(source: string, file: string): Tree {
  const whole = { file, line: 1, column: 1, path: '' }
  if (source.length > MAX_CONFIG_LENGTH) {
    throw new ConfigError([{ ...whole, message: `the file is longer than ${MAX_CONFIG_LENGTH}` }])
  }
  const deep = tooDeep(source)
  if (deep !== undefined) {
    throw new ConfigError([{ ...whole, line: deep, message: `nested deeper than ${MAX_DEPTH}` }])
  }
  const lines = new LineCounter()
  try {
    const document = parseDocument<ParsedNode, true>(source, {
      lineCounter: lines,
      version: '1.2',
      schema: 'core',
      merge: false,
      strict: true,
      uniqueKeys: true,
      prettyErrors: false,
    })
    const found: { offset: number; message: string; hint?: string }[] = []
    for (const problem of [...document.errors, ...document.warnings]) {
      found.push({
        offset: problem.pos[0],
        message: lowerFirst(problem.message.split('\n')[0] ?? ''),
      })
    }
    if (document.directives.yaml.explicit && document.directives.yaml.version !== '1.2') {
      found.push({ offset: 0, message: 'got a YAML 1.1 directive, expected YAML 1.2' })
    }
    if (found.length === 0) found.push(...refusedNodes(document.contents))
    if (found.length > 0) {
      throw new ConfigError(
        inFileOrder(
          found.map(({ offset, message, hint }) => ({
            ...whole,
            ...at(lines, offset),
            message,
            ...(hint === undefined ? {} : { hint }),
          })),
        ),
      )
    }
    return { root: document.contents, lines, value: document.toJS({ maxAliasCount: 0 }) }
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError([{ ...whole, message: 'the file cannot be parsed as YAML' }])
  }
}

/**
 * The line at which a file nests too deep for the parser, which recurses: on an exhausted stack V8 may abort the
 * whole process instead of throwing. The lexer does not recurse.
 */
function tooDeep(source: string): number | undefined {
  let flow = 0
  let inLine = 0
  let line = 1
  for (const token of new Lexer().lex(source)) {
    if (token === '[' || token === '{') flow += 1
    else if (token === ']' || token === '}') flow = Math.max(0, flow - 1)
    else if (flow === 0 && (token === '-' || token === '?' || token === ':')) inLine += 1
    else if (flow === 0 && /^ +$/.test(token)) inLine += token.length >> 2
    if (flow > MAX_DEPTH || inLine > MAX_DEPTH) return line
    for (let at = token.indexOf('\n'); at !== -1; at = token.indexOf('\n', at + 1)) {
      line += 1
      inLine = 0
    }
  }
  return undefined
}

/** Constructs that are YAML but hide what a file says: anchors, aliases, odd keys, endless nesting. */
function refusedNodes(root: Node | null): { offset: number; message: string; hint?: string }[] {
  const found: { offset: number; message: string; hint?: string }[] = []
  visit(root, {
    Node(_key, node, path) {
      const offset = node.range?.[0] ?? 0
      if (isAlias(node)) {
        found.push({ offset, message: 'an alias is refused', hint: 'write the value out' })
      } else if ((isScalar(node) || isCollection(node)) && node.anchor !== undefined) {
        found.push({ offset, message: 'an anchor is refused', hint: 'write the value out' })
      }
      if (path.length > MAX_DEPTH) {
        found.push({ offset, message: `nested deeper than ${MAX_DEPTH}` })
        return visit.BREAK
      }
      return undefined
    },
    Pair(_key, pair) {
      const key = pair.key
      const offset = isNode(key) ? (key.range?.[0] ?? 0) : 0
      if (!isScalar(key) || typeof key.value !== 'string') {
        found.push({ offset, message: 'a key that is not text', hint: 'put it in quotes' })
      } else if (FORBIDDEN_KEYS.has(key.value)) {
        found.push({ offset, message: `the key "${key.value}" is refused` })
      }
    },
  })
  return found
}

/** Where the key or list item at the end of the path begins; the nearest above it where there is none. */
function positionOf(tree: Tree, path: ConfigPath): { line: number; column: number } {
  let node: unknown = tree.root
  let offset = tree.root?.range?.[0] ?? 0
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part)
      if (pair === undefined) break
      offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset
      node = pair.value
    } else if (isSeq(node) && typeof part === 'number') {
      const item = node.items[part]
      if (!isNode(item)) break
      offset = item.range?.[0] ?? offset
      node = item
    } else break
  }
  return at(tree.lines, offset)
}

function at(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
