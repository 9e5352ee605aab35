// Owns turning the lines of a verified block into records, within bounds: a key holder may be hostile too.

import type { StoredRecord } from './records.js'

/** Nesting of a record's JSON; what vgate writes needs seven. */
export const MAX_DEPTH = 32

export interface ParsedRecords {
  readonly records: readonly StoredRecord[]
  /** What is wrong with the record after the last good one. */
  readonly fault: string | undefined
}

/** The records of one block, numbered. */
export function parseRecords(block: { readonly first: number; readonly payload: Buffer }): ParsedRecords {
  const records: StoredRecord[] = []
  const lines = block.payload.toString('utf8').split('\n')
  lines.pop() // behind the last LF, which the scanner has checked
  for (const line of lines) {
    const record = parseRecord(line, block.first + records.length)
    if (typeof record === 'string') return { records, fault: record }
    records.push(record)
  }
  return { records, fault: undefined }
}

function parseRecord(line: string, seq: number): StoredRecord | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return 'the record is not JSON'
  }
  if (!isObject(value)) return 'the record is not an object'
  const { at, type } = value
  if (typeof at !== 'string' || typeof type !== 'string') return 'the record has no time or no type'
  if (Object.hasOwn(value, 'seq')) return 'the record carries a number of its own'
  if (!isShallow(value, MAX_DEPTH)) return 'the record is nested too deeply'
  // Spread: the members come from JSON.parse, so `__proto__` is an own member here and stays one.
  return { ...value, seq, at, type }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  if (Array.isArray(value)) return value.every((item) => isShallow(item, depth - 1))
  for (const member of Object.values(value)) {
    if (!isShallow(member, depth - 1)) return false
  }
  return true
}
