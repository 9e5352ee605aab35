// Owns the proof that keys of different times belong to one gateway: each new key signs all public keys before it, and
// the key before it, where it is still at hand, endorses the new one. Pure but for the signing functions it is given.

import { verify } from 'node:crypto'
import type { SigningKey } from '../core/api.js'
import { keyIdOf, publicKeyOf } from './checkpoint.js'

const TITLE = 'vgate-keys-v1\n'
const ENDORSED_TITLE = 'vgate-keys-endorsed-v1\n'

export interface HistorySigner {
  readonly key: SigningKey
  sign(bytes: Uint8Array): Buffer
}

function statement(title: string, keys: readonly SigningKey[]): Buffer {
  const lines = keys.map((key) => `${key.id} ${key.public} ${key.since}\n`)
  return Buffer.from(title + lines.join(''), 'utf8')
}

/**
 * The history with one more key, which signs it. The first key has nothing to sign. `previous` endorses the new one if
 * it is the last key of the history.
 */
export function withNewKey(
  history: readonly SigningKey[],
  next: HistorySigner,
  previous?: HistorySigner,
): readonly SigningKey[] {
  const last = history.at(-1)
  if (last === undefined) return [next.key]
  const all = [...history, next.key]
  const signature = next.sign(statement(TITLE, all)).toString('base64')
  const endorsed =
    previous !== undefined && isSame(previous.key, last)
      ? { endorsed: previous.sign(statement(ENDORSED_TITLE, all)).toString('base64') }
      : {}
  return [...history, { ...next.key, signature, ...endorsed }]
}

/** What is wrong with a history: an id that is not its key's, a key that did not sign those before it, or a false endorsement. */
export function faultInHistory(keys: readonly SigningKey[]): string | undefined {
  for (const [index, key] of keys.entries()) {
    const raw = Buffer.from(key.public, 'base64')
    if (raw.length !== 32 || keyIdOf(raw) !== key.id) return `key ${key.id} does not have this id`
    if (index === 0) continue
    if (!signsHistory(keys, index)) return `key ${key.id} did not sign the keys before it`
    if (key.endorsed !== undefined && !isEndorsed(keys, index))
      return `the key before ${key.id} did not endorse it`
  }
  return undefined
}

/**
 * The keys of an offered history that no known key vouches for. A known key vouches for those before it, which it
 * signed, and for those behind it along an unbroken line of endorsements. That a new key signs a known one says
 * nothing of the new one: anybody can sign a public key.
 */
export function strangersIn(
  offered: readonly SigningKey[],
  known: readonly SigningKey[],
): readonly SigningKey[] {
  const isKnown = (key: SigningKey): boolean => known.some((one) => isSame(one, key))
  const newest = offered.findLastIndex(isKnown)
  if (newest === -1) return offered
  const signed = newest === 0 || signsHistory(offered, newest)
  let endorsed = true
  return offered.filter((key, index) => {
    if (index > newest) endorsed &&= isEndorsed(offered, index)
    return !isKnown(key) && !(index < newest ? signed : endorsed)
  })
}

/** The same key by id and bytes. */
export function isSame(a: SigningKey, b: SigningKey): boolean {
  return a.id === b.id && a.public === b.public
}

function signsHistory(keys: readonly SigningKey[], index: number): boolean {
  const key = keys[index]
  return isSigned(key, key?.signature, statement(TITLE, keys.slice(0, index + 1)))
}

function isEndorsed(keys: readonly SigningKey[], index: number): boolean {
  const by = keys[index - 1]
  return isSigned(by, keys[index]?.endorsed, statement(ENDORSED_TITLE, keys.slice(0, index + 1)))
}

function isSigned(
  by: SigningKey | undefined,
  signature: string | undefined,
  bytes: Buffer,
): boolean {
  const raw = Buffer.from(by?.public ?? '', 'base64')
  if (signature === undefined || raw.length !== 32) return false
  try {
    return verify(null, bytes, publicKeyOf(raw), Buffer.from(signature, 'base64'))
  } catch {
    return false // no point of the curve
  }
}
