// Owns the strictest of what several roles oblige.

import type { RecordLevel } from '../core/decision.js'
import type { CompiledPolicy, CompiledRole } from './compile.js'
import { DEFAULT_RECORD, DEFAULT_THRESHOLDS, type Thresholds } from './defaults.js'

const CONTENT: readonly RecordLevel[] = ['metadata', 'text', 'full']

/** The smallest of each threshold among the roles, over the longest of their windows. */
export function strictestThresholds(roles: readonly CompiledRole[]): Thresholds {
  const all = roles.length === 0 ? [DEFAULT_THRESHOLDS] : roles.map((role) => role.thresholds)
  return {
    ids: Math.min(...all.map((one) => one.ids)),
    rows: Math.min(...all.map((one) => one.rows)),
    perMs: Math.max(...all.map((one) => one.perMs)),
  }
}

/** The level that stores the least content: a role that keeps content out of recordings is not overruled by another. */
export function strictestRecord(roles: readonly CompiledRole[]): RecordLevel {
  return strictestLevel(roles.map((role) => role.record))
}

/** Of several levels the one that stores the least. */
export function strictestLevel(levels: readonly RecordLevel[]): RecordLevel {
  return CONTENT.find((level) => levels.includes(level)) ?? DEFAULT_RECORD
}

/** What may be recorded of a request that was not permitted. A role that the policy does not have may have kept out all. */
export function recordLevel(policy: CompiledPolicy, roles: readonly string[]): RecordLevel {
  const held = roles.map((name) => policy.roles.get(name))
  return held.includes(undefined)
    ? 'metadata'
    : strictestRecord(held.filter((role) => role !== undefined))
}
