// A recording that is followed: only more of the same may come.

import { copyFileSync, mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LiveRecording } from '../../../src/audit/live.js'
import { openRecording, type Recording } from '../../../src/audit/writer.js'
import { judgedBody, PLAYED_PAIR } from '../../support/played-session.js'
import { testClock } from '../../support/recording-files.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-live-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let number = 0
async function started(records: number): Promise<Recording> {
  number += 1
  const id = `ses_${number}`
  const options = { directory: folder, id, kind: 'session' as const, key: PLAYED_PAIR }
  const recording = openRecording({ ...options, clock: testClock() })
  for (let op = 1; op <= records; op += 1) recording.append(judgedBody(op, `SELECT ${op}`))
  await recording.checkpoint()
  return recording
}

describe('a recording that is followed', () => {
  let written: Recording
  let live: LiveRecording
  let sizeOfOne: number

  beforeEach(async () => {
    written = await started(1)
    sizeOfOne = written.bytes
    written.append(judgedBody(2, 'SELECT 2'))
    await written.checkpoint()
    live = await LiveRecording.open(written.path, { keys: [PLAYED_PAIR.key] })
  })

  it('has grown when more is signed', async () => {
    const grown = live.grown()
    written.append(judgedBody(3, 'SELECT 3'))
    await written.checkpoint()
    await grown
    expect([live.total, live.live]).toEqual([3, true])
  })

  it('may not become another one, though that one is good and longer', async () => {
    const other = await started(5)
    copyFileSync(other.path, written.path)
    await expect(live.grown()).rejects.toMatchObject({
      code: 'VGATE_RECORDING_BROKEN',
      message: `the recording was replaced by another: ${other.id}`,
    })
  })

  it('may not become shorter', async () => {
    truncateSync(written.path, sizeOfOne)
    await expect(live.grown()).rejects.toMatchObject({
      code: 'VGATE_RECORDING_BROKEN',
      message: 'the recording was cut: it has 1 records, and had 2',
    })
  })

  it('is waited for until the signal', async () => {
    const stop = new AbortController()
    const grown = live.grown(stop.signal)
    stop.abort()
    await expect(grown).rejects.toMatchObject({ name: 'AbortError' })
  })
})
