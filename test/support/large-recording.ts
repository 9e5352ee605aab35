// Owns recordings that are larger than the memory of the process that plays them.

import { readFileSync } from 'node:fs'
import type { RecordBody } from '../../src/audit/records.js'
import { openRecording } from '../../src/audit/writer.js'
import { judgedBody, PLAYED_PAIR } from './played-session.js'
import { testClock } from './recording-files.js'

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
  let seed = 1
  const cell = (): string => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    const at = seed % (pool.length - CELL)
    return pool.slice(at, at + CELL)
  }
  for (let op = 1; !isEnough(recording.bytes, recording.records); op += 1) {
    clock.move(10)
    const rows = Array.from({ length: ROWS }, () => [cell()])
    recording.append({
      type: 'operation.delivered',
      connection: 'con_1',
      op,
      index: 0,
      columns: ['body'],
      rows,
      rowCount: ROWS,
      bytes: ROWS * CELL,
      masked: 0,
      done: true,
    } as unknown as RecordBody)
    if (op % 64 === 0) await recording.checkpoint()
  }
  recording.append(judgedBody(0, 'SELECT needle', { verdict: 'deny' } as never))
  recording.append(judgedBody(0, 'SELECT hay'))
  const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  const { records } = await recording.close({ type: 'session.closed', reason: 'stopped', totals })
  return { path: recording.path, records }
}

/** The most memory that a process held at once, in bytes. */
export function peakBytes(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}
