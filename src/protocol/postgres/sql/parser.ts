// Owns the parser: PostgreSQL's own grammar as WebAssembly (libpg-query). A trap inside it spoils its memory, so
// the instance is thrown away and a spare takes over; nothing that a spoiled instance said is ever used.

import { createRequire } from 'node:module'
import { type Fields, isFields } from './tree.js'

interface ParserModule {
  _malloc(size: number): number
  _free(pointer: number): void
  _wasm_parse_query_raw(pointer: number): number
  _wasm_free_parse_result(pointer: number): void
  getValue(pointer: number, type: 'i32'): number
  /** Another one whenever the memory has grown. */
  readonly HEAPU8: Uint8Array
}

export type TreeOutcome =
  | { readonly ok: true; readonly tree: Fields }
  /** A syntax error: PostgreSQL's message, position in characters from 1. */
  | {
      readonly ok: false
      readonly kind: 'syntax'
      readonly message: string
      readonly position: number
    }
  /** The parser failed; the statement is refused. */
  | { readonly ok: false; readonly kind: 'failed'; readonly message: string }

const load = createRequire(import.meta.url)

let current: ParserModule | undefined
let spare: ParserModule | undefined
let making: Promise<void> | undefined

async function instantiate(): Promise<ParserModule> {
  const factory = load('libpg-query/wasm/libpg-query.js') as (
    options: object,
  ) => Promise<ParserModule>
  return factory({ print: () => undefined, printErr: () => undefined })
}

function makeSpare(): Promise<void> {
  making ??= instantiate().then(
    (instance) => {
      making = undefined
      if (current === undefined) current = instance
      else spare = instance
    },
    () => {
      making = undefined
    },
  )
  return making
}

/** Loads the parser and a spare. Call once before anything is parsed. */
export async function loadParser(): Promise<void> {
  if (current === undefined) await makeSpare()
  if (current === undefined) await makeSpare()
  if (spare === undefined) await makeSpare()
}

function discard(): void {
  current = spare
  spare = undefined
  void makeSpare()
}

/** Parses a text of any number of statements. Never throws. */
export function parseTree(text: string): TreeOutcome {
  const parser = current
  if (parser === undefined)
    return { ok: false, kind: 'failed', message: 'the SQL parser is not ready' }
  if (text.includes('\0'))
    return { ok: false, kind: 'failed', message: 'the statement holds a NUL' }
  try {
    return run(parser, text)
  } catch {
    // A WebAssembly trap or an exhausted stack: this instance's memory is no longer to be trusted.
    discard()
    return { ok: false, kind: 'failed', message: 'the statement is too complex for the SQL parser' }
  }
}

function run(parser: ParserModule, text: string): TreeOutcome {
  const size = Buffer.byteLength(text)
  const query = parser._malloc(size + 1)
  if (query === 0) throw new Error('out of memory')
  const memory = memoryOf(parser)
  memory.write(text, query, size, 'utf8')
  memory[query + size] = 0
  const result = parser._wasm_parse_query_raw(query)
  parser._free(query)
  if (result === 0) throw new Error('out of memory')
  const outcome = read(parser, result)
  parser._wasm_free_parse_result(result)
  return outcome
}

function memoryOf({ HEAPU8: { buffer, byteOffset, length } }: ParserModule): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}

/** The text that ends with the next NUL. */
function textAt(parser: ParserModule, pointer: number): string {
  const memory = memoryOf(parser)
  return memory.toString('utf8', pointer, memory.indexOf(0, pointer))
}

function read(parser: ParserModule, result: number): TreeOutcome {
  const error = parser.getValue(result + 8, 'i32')
  if (error !== 0) {
    const message = textAt(parser, parser.getValue(error, 'i32'))
    const position = parser.getValue(error + 16, 'i32')
    if (message.startsWith('memory exhausted')) {
      return { ok: false, kind: 'failed', message: 'the statement is nested too deeply' }
    }
    return { ok: false, kind: 'syntax', message, position: Math.max(1, position) }
  }
  const tree: unknown = JSON.parse(textAt(parser, parser.getValue(result, 'i32')))
  if (!isFields(tree)) throw new Error('no tree')
  return { ok: true, tree }
}
