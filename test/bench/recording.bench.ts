// Owns the benchmark of recordings: writing durably by group commit, the recorder's CPU for one operation of a session,
// and verification. Publishes only with --write, and says when the machine was busy.

import { hash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, it } from 'vitest'
import { generatePair } from '../../src/audit/keys.js'
import type { SessionRecord } from '../../src/audit/records.js'
import { verifyFile, verifyLargeFile } from '../../src/audit/verify.js'
import { openRecording, type Recording } from '../../src/audit/writer.js'
import type { JudgeRequest } from '../../src/core/adapter.js'
import { systemClock } from '../../src/core/clock.js'
import { SessionRecorder } from '../../src/proxy/session-recorder.js'
import { madeBlock, writeRepeated } from '../support/large-recording.js'
import { type RecordingResults, recordingPage, withRecordingSection } from './recording-page.js'

const options = JSON.parse(process.env['VGATE_BENCH'] ?? '{}') as {
  load?: number
  rounds?: number
  write?: boolean
}
const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url))
const ROUNDS = options.rounds ?? 7
const RECORDS = 200_000
const GROUP = 500
const OPERATIONS = 20_000
const DISTINCT_GROUPS = 2_000
const WHOLE_BYTES = 300e6
const directory = mkdtempSync(join(tmpdir(), 'vgate-bench-'))
const pair = generatePair('2026-03-01T12:00:00.000Z')
const totals = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
const connection = 'con_2v8k4m6p8r0t2w4y6z8a'
let files = 0

afterAll(() => rmSync(directory, { recursive: true, force: true }))

function open(): Recording {
  files += 1
  const id = `ses_bench${files}`
  return openRecording({ directory, id, kind: 'session', key: pair, clock: systemClock })
}

const request = (key: number): JudgeRequest => ({
  phase: 'execute',
  text: 'SELECT id, title FROM docs WHERE id = $1',
  parameters: [String(key)],
  form: 'extended',
  operations: [
    {
      name: 'docs.get',
      access: 'read',
      collections: [
        { collection: 'docs', access: 'read', action: 'get', effect: { kind: 'none' } },
      ],
      fields: [],
      risks: [],
      functions: [],
      rowBound: 1,
      outputs: [],
    } as unknown as JudgeRequest['operations'][number],
  ],
})
const judgement = {
  verdict: 'permit',
  rule: 'reader',
  obligations: [],
  record: 'text',
} as const
const delivery = (id: number, key: number) => ({
  request: id,
  index: 0,
  columns: ['id', 'title'],
  rows: [[String(key), `a title of ${(key * 2_654_435_761) % 1_000_003}`]],
  rowCount: 1,
  bytes: 60 + (key % 7),
  masked: 0,
  tag: 'SELECT 1',
  done: true,
})

/** Wall and CPU seconds of one run. */
async function timed(
  run: () => Promise<unknown> | unknown,
): Promise<{ wall: number; cpu: number }> {
  const cpu = process.cpuUsage()
  const from = performance.now()
  await run()
  const wall = (performance.now() - from) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  return { wall, cpu: (user + system) / 1e6 }
}

/** The two records of an operation, as a session appends them. */
function pairOf(op: number): readonly [SessionRecord, SessionRecord] {
  const key = (op * 7_919) % 1_000_000
  const { text, form, parameters } = request(key)
  const { request: _id, ...given } = delivery(op, key)
  return [
    {
      type: 'operation.judged',
      connection,
      op,
      form,
      text,
      parameters: parameters ?? [],
      operations: [
        {
          name: 'docs.get',
          access: 'read',
          collections: [
            { collection: 'docs', access: 'read', action: 'get', effect: { kind: 'none' } },
          ],
          risks: [],
        },
      ],
      verdict: 'permit',
      rule: 'reader',
      obligations: { masks: 0 },
    },
    { type: 'operation.delivered', connection, op, ...given },
  ]
}

async function durable(): Promise<{ path: string; wall: number; cpu: number }> {
  const recording = open()
  const spent = await timed(async () => {
    let before: Promise<void> = Promise.resolve()
    for (let record = 0; record < RECORDS; record += GROUP) {
      for (let op = record / 2; op < (record + GROUP) / 2; op += 1)
        for (const body of pairOf(op)) recording.append(body)
      const synced = recording.sync()
      // One group is being synced while the next is made.
      await before
      before = synced
    }
    await before
  })
  await recording.close({ type: 'session.closed', reason: 'stopped', totals })
  return { path: recording.path, ...spent }
}

async function session(): Promise<{ path: string; cpu: number }> {
  const recording = open()
  const recorder = new SessionRecorder(recording, (error) => {
    throw error
  })
  await recorder.sync()
  const spent = await timed(async () => {
    for (let op = 0; op < OPERATIONS; op += 1) {
      await recorder.intent(connection, op, request(op), judgement, false)
      recorder.delivered(connection, delivery(op, op))
      recorder.flush()
      if (op % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })
  await recorder.close({ type: 'session.closed', reason: 'stopped', totals })
  return { path: recording.path, cpu: spent.cpu }
}

/** A recording as it is written at 100,000 records/s: full groups, a checkpoint every half second. */
function wholeFile(): string {
  const at = '2026-03-01T12:00:00.000Z'
  const lineOf = (body: SessionRecord): string => `${JSON.stringify({ at, ...body })}\n`
  const made = Array.from({ length: DISTINCT_GROUPS }, (_, group) => {
    const first = group * (GROUP / 2)
    const pairs = Array.from({ length: GROUP / 2 }, (__, index) => pairOf(first + index))
    return madeBlock(pairs.flat().map(lineOf))
  })
  const path = join(directory, 'whole.vgr')
  const last = [lineOf({ type: 'session.closed', reason: 'stopped', totals })]
  writeRepeated(path, made, { key: pair, checkpointEvery: 100, leastBytes: WHOLE_BYTES, last })
  return path
}

/** By one thread, in this process, or by several as the binary has them. */
async function megabytes(
  path: string,
  depth: 'chain' | 'content',
  threads = 1,
): Promise<{ wall: number; cpu: number }> {
  const options = { keys: [pair.key], depth }
  const spent = await timed(async () => {
    const { verdict } =
      threads === 1
        ? await verifyFile(path, options)
        : await verifyLargeFile(path, { ...options, threads })
    if (verdict !== 'closed') throw new Error(verdict)
  })
  const bytes = statSync(path).size / 1e6
  return { wall: bytes / spent.wall, cpu: bytes / spent.cpu }
}

it('recordings', async () => {
  const found: { -readonly [K in keyof RecordingResults]: RecordingResults[K] & number[] } = {
    durablePerSecond: [],
    bytesPerRecord: [],
    cpuPerRecord: [],
    cpuPerOperation: [],
    bytesPerOperation: [],
    verifyMegabytes: [],
    verifyCpuMegabytes: [],
    verifyOneMegabytes: [],
    readMegabytes: [],
    smallBlockMegabytes: [],
    hashMegabytes: [],
  } as never
  const whole = wholeFile()
  for (let round = 0; round < ROUNDS; round += 1) {
    const written = await durable()
    found.durablePerSecond.push(RECORDS / written.wall)
    found.cpuPerRecord.push((written.cpu * 1e6) / RECORDS)
    found.bytesPerRecord.push(statSync(written.path).size / RECORDS)
    const one = await session()
    found.cpuPerOperation.push((one.cpu * 1e6) / OPERATIONS)
    found.bytesPerOperation.push(statSync(one.path).size / OPERATIONS)
    const several = await megabytes(whole, 'chain', availableParallelism())
    found.verifyMegabytes.push(several.wall)
    found.verifyCpuMegabytes.push(several.cpu)
    found.verifyOneMegabytes.push((await megabytes(whole, 'chain')).wall)
    found.readMegabytes.push((await megabytes(written.path, 'content')).wall)
    found.smallBlockMegabytes.push((await megabytes(one.path, 'chain')).wall)
    const block = randomBytes(7_500)
    const hashed = await timed(() => {
      for (let time = 0; time < 10_000; time += 1) hash('sha512-256', block, 'buffer')
    })
    found.hashMegabytes.push(75 / hashed.cpu)
    rmSync(written.path)
    rmSync(one.path)
    process.stdout.write(`recordings: round ${round + 1} of ${ROUNDS}\n`)
  }
  const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`
  const text = recordingPage({ ...found, machine, load: options.load ?? 0, rounds: ROUNDS })
  if (options.write === true)
    writeFileSync(PAGE, withRecordingSection(readFileSync(PAGE, 'utf8'), text))
  process.stdout.write(`${text}\n`)
})
