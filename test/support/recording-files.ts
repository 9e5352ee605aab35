// Owns small recordings made in memory for tests: a fixed key, a fixed clock, chosen blocks.

import { createPrivateKey } from 'node:crypto'
import { Chain } from '../../src/audit/chain.js'
import type { CheckpointState } from '../../src/audit/checkpoint.js'
import { encodeHeader, type RecordingHeader } from '../../src/audit/format.js'
import { pairOf, type SigningKeyPair } from '../../src/audit/keys.js'
import { canonicalJson } from '../../src/core/json.js'

export const TEST_TIME = '2026-03-01T12:00:00.000Z'

/** An Ed25519 pair from a seed byte; for tests alone. */
export function testPair(seed: number): SigningKeyPair {
  const der = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.alloc(32, seed),
  ])
  return pairOf(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }), TEST_TIME)
}

/** A clock that only the test moves. */
export function testClock(start = Date.parse(TEST_TIME)): {
  now(): number
  move(ms: number): void
} {
  let time = start
  return {
    now: () => time,
    move: (ms) => {
      time += ms
    },
  }
}

export interface BuiltFile {
  readonly header: Buffer
  readonly blocks: readonly Buffer[]
  readonly bytes: Buffer
}

/** Each step is the texts of a block's records, or the state of a checkpoint. */
export function buildFile(
  pair: SigningKeyPair,
  id: string,
  steps: readonly (readonly string[] | CheckpointState)[],
  more: Partial<RecordingHeader> = {},
): BuiltFile {
  const key = { id: pair.key.id, public: pair.key.public }
  const header = encodeHeader({ kind: 'session', id, created: TEST_TIME, key, ...more })
  const chain = new Chain(id, pair, header.hash)
  const blocks = steps.map((step) =>
    typeof step === 'string' ? chain.checkpoint(step, TEST_TIME) : chain.records(step.map(line)),
  )
  return { header: header.bytes, blocks, bytes: Buffer.concat([header.bytes, ...blocks]) }
}

/** One record as stored. */
export function line(text: string): string {
  return `${canonicalJson({ type: 'gateway.stopped', reason: text, at: TEST_TIME })}\n`
}
