// Owns recordings that are larger than the memory of the process that plays them.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { deflateRawSync } from 'node:zlib'
import { Chain } from '../../src/audit/chain.js'
import {
  BlockHasher,
  encodeBlock,
  encodeHeader,
  FLAG_DEFLATE,
  KIND_RECORDS,
} from '../../src/audit/format.js'
import type { SigningKeyPair } from '../../src/audit/keys.js'
import type { RecordBody } from '../../src/audit/records.js'
import { openRecording } from '../../src/audit/writer.js'
import { judgedBody, PLAYED_PAIR } from './played-session.js'
import { TEST_TIME, testClock } from './recording-files.js'

const ROWS = 10
const CELL = 800

/**
 * Writes results of about 8 KB until `isEnough` says so, with one needle near the end. `pool` is what cells are cut
 * from: random text for a large file, anything for a large content. Answers path and number of records.
 */
export async function writeLarge(
  directory: string,
  pool: string,
  isEnough: (bytes: number, records: number) => boolean,
): Promise<{ readonly path: string; readonly records: number }> {
  const clock = testClock()
  const recording = openRecording({
    directory,
    id: 'ses_large',
    kind: 'session',
    key: PLAYED_PAIR,
    clock,
  })
  const body = resultsOf(pool)
  for (let op = 1; !isEnough(recording.bytes, recording.records); op += 1) {
    clock.move(10)
    recording.append(body(op))
    if (op % 64 === 0) await recording.checkpoint()
  }
  recording.append(judgedBody(0, 'SELECT needle', { verdict: 'deny' } as never))
  recording.append(judgedBody(0, 'SELECT hay'))
  const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  const { records } = await recording.close({ type: 'session.closed', reason: 'stopped', totals })
  return { path: recording.path, records }
}

/** Results of ten rows, each of cells cut from the pool. */
function resultsOf(pool: string): (op: number) => RecordBody {
  let seed = 1
  const cell = (): string => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    const at = seed % (pool.length - CELL)
    return pool.slice(at, at + CELL)
  }
  return (op) =>
    ({
      type: 'operation.delivered',
      connection: 'con_1',
      op,
      index: 0,
      columns: ['body'],
      rows: Array.from({ length: ROWS }, () => [cell()]),
      rowCount: ROWS,
      bytes: ROWS * CELL,
      masked: 0,
      done: true,
    }) as unknown as RecordBody
}

/** What a huge recording is made of. */
export const HUGE = {
  /** Results of 8 KB, 64 in a block, as a client gets them that does not wait. */
  results: { records: 64, blocks: 1 },
  /** Statements of a client that waits for each answer: a block for each, a checkpoint after a hundred. */
  single: { records: 1, blocks: 100 },
} as const

/** Writes gigabytes in seconds, with one needle near the end. Answers the number of records. */
export function writeHuge(
  path: string,
  pool: string,
  shape: keyof typeof HUGE,
  leastBytes: number,
): number {
  const { records, blocks } = HUGE[shape]
  const result = resultsOf(pool)
  const body = (op: number): RecordBody =>
    shape === 'results' ? result(op) : judgedBody(op, `SELECT ${pool.slice(op, op + 60)}`)
  const line = (one: RecordBody): string => `${JSON.stringify({ at: TEST_TIME, ...one })}\n`
  const made = Array.from({ length: 32 }, (_, group) =>
    madeBlock(Array.from({ length: records }, (__, index) => line(body(group * records + index)))),
  )
  const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  const last: readonly RecordBody[] = [
    judgedBody(0, 'SELECT needle', { verdict: 'deny' } as never),
    judgedBody(0, 'SELECT hay'),
    { type: 'session.closed', reason: 'stopped', totals },
  ]
  const options = { key: PLAYED_PAIR, checkpointEvery: blocks, leastBytes, last: last.map(line) }
  return writeRepeated(path, made, options)
}

/** The payload of a block, ready to be hashed into a chain. */
export interface MadeBlock {
  readonly count: number
  readonly flags: number
  readonly payloadBytes: number
  readonly stored: Buffer
}

/** A block of these lines. */
export function madeBlock(lines: readonly string[]): MadeBlock {
  const raw = Buffer.from(lines.join(''), 'utf8')
  const [count, payloadBytes] = [lines.length, raw.length]
  return count === 1
    ? { count, payloadBytes, flags: 0, stored: raw }
    : { count, payloadBytes, flags: FLAG_DEFLATE, stored: deflateRawSync(raw, { level: 1 }) }
}

/** A closed recording of the same blocks over and over: only hashes and signatures are made anew. Answers its records. */
export function writeRepeated(
  path: string,
  made: readonly MadeBlock[],
  options: {
    readonly key: SigningKeyPair
    readonly checkpointEvery: number
    readonly leastBytes: number
    readonly last: readonly string[]
  },
): number {
  const { key: pair, checkpointEvery, leastBytes, last } = options
  const id = 'ses_huge'
  const key = { id: pair.key.id, public: pair.key.public }
  const header = encodeHeader({ kind: 'session', id, created: TEST_TIME, key })
  const chain = new Chain(id, pair, header.hash)
  const hasher = new BlockHasher(header.hash)
  const next = ({ stored, ...fields }: MadeBlock): Buffer => {
    const { head, records, signed, blocks } = chain.position
    const block = encodeBlock(
      { kind: KIND_RECORDS, first: records + 1, ...fields },
      head,
      stored,
      hasher,
    )
    chain.position = {
      records: records + fields.count,
      signed,
      blocks: blocks + 1,
      head: block.hash,
    }
    return block.bytes
  }
  const file = openSync(path, 'wx')
  try {
    let bytes = 0
    const write = (...parts: readonly Buffer[]): void => {
      bytes += writeSync(file, Buffer.concat(parts))
    }
    write(header.bytes, chain.checkpoint('open', TEST_TIME))
    for (let number = 0; bytes < leastBytes; number += checkpointEvery) {
      const parts = Array.from({ length: checkpointEvery }, (_, index) =>
        next(made[(number + index) % made.length] as MadeBlock),
      )
      write(...parts, chain.checkpoint('open', TEST_TIME))
    }
    write(chain.records(last), chain.checkpoint('closed', TEST_TIME))
  } finally {
    closeSync(file)
  }
  return chain.position.records
}

/** The most memory that a process held at once, in bytes. */
export function peakBytes(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}
