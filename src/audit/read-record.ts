// Owns turning the lines of a verified block into records, within bounds: a key holder may be hostile too.

import type { StoredRecord } from './records.js'

/** Nesting of a record's JSON; what vgate writes needs seven. */
export const MAX_DEPTH = 32

export interface ParsedRecords {
  readonly records: readonly StoredRecord[]
  /** What is wrong with the record after the last good one. */
  readonly fault: string | undefined
}

/** What a block of records holds. */
export interface RecordLines {
  readonly first: number
  readonly payload: Buffer
}

/** The records of one block, numbered. */
export function parseRecords(block: RecordLines): ParsedRecords {
  const records: StoredRecord[] = []
  for (const line of linesOf(block.payload)) {
    const value = parseLine(line)
    if (typeof value === 'string') return { records, fault: value }
    // Not a copy: at a record for every chunk of a large result copies are what memory grows by.
    records.push(Object.assign(value, { seq: block.first + records.length }))
  }
  return { records, fault: undefined }
}

/** The records of several blocks, one after another. */
export function* recordsOf(blocks: readonly RecordLines[]): Generator<StoredRecord> {
  for (const block of blocks) yield* parseRecords(block).records
}

/** The first malformed record of a block, without making the others. */
export function faultInRecords(
  block: RecordLines,
): { readonly record: number; readonly reason: string } | undefined {
  let record = block.first
  for (const line of linesOf(block.payload)) {
    const value = parseLine(line)
    if (typeof value === 'string') return { record, reason: value }
    record += 1
  }
  return undefined
}

function linesOf(payload: Buffer): readonly string[] {
  const lines = payload.toString('utf8').split('\n')
  lines.pop() // behind the last LF, which the scanner has checked
  return lines
}

interface Line {
  readonly at: string
  readonly type: string
}

function parseLine(line: string): (Record<string, unknown> & Line) | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return 'the record is not JSON'
  }
  if (!isObject(value)) return 'the record is not an object'
  if (!isLine(value)) return 'the record has no time or no type'
  if (Object.hasOwn(value, 'seq')) return 'the record carries a number of its own'
  return isShallow(value, MAX_DEPTH) ? value : 'the record is nested too deeply'
}

function isLine(value: Record<string, unknown>): value is Record<string, unknown> & Line {
  return typeof value['at'] === 'string' && typeof value['type'] === 'string'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isShallow(value: object, depth: number): boolean {
  if (depth === 0) return false
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    if (typeof member === 'object' && member !== null && !isShallow(member, depth - 1)) return false
  }
  return true
}
