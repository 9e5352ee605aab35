// Owns measuring recordings once: writing durably by group commit, the recorder's CPU for one operation of a session,
// and verification. A script for a process of its own, put together as the binary is: the test runner's way of loading
// code makes every call into another file dearer. Prints one round's figures as JSON.

import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { generatePair } from '../../src/audit/keys.js'
import type { SessionRecord } from '../../src/audit/records.js'
import { verifyFile, verifyLargeFile } from '../../src/audit/verify.js'
import { openRecording, type Recording } from '../../src/audit/writer.js'
import type { JudgeRequest } from '../../src/core/adapter.js'
import { systemClock } from '../../src/core/clock.js'
import { SessionRecorder } from '../../src/proxy/session-recorder.js'
import { madeBlock, writeRepeated } from '../support/large-recording.js'
import type { RecordingRound } from './recording-page.js'

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

/** What the hash function alone takes, and nothing else is done: the most that verification could reach here. */
const HASHING = `
  const { hash, randomBytes } = require('node:crypto')
  const block = randomBytes(7_500)
  const until = performance.now() + 1_000
  let blocks = 0
  for (; performance.now() < until; blocks += 1) hash('sha512-256', block, 'buffer')
  require('node:worker_threads').parentPort.postMessage((blocks * block.length) / 1e6)`

/** Megabytes in a second, all processors at once. */
async function hashing(): Promise<number> {
  const threads = Array.from({ length: availableParallelism() }, async () => {
    const worker = new Worker(HASHING, { eval: true })
    const [megabytes] = (await once(worker, 'message')) as [number]
    return megabytes
  })
  return (await Promise.all(threads)).reduce((sum, one) => sum + one, 0)
}

async function round(): Promise<RecordingRound> {
  const whole = wholeFile()
  const written = await durable()
  const one = await session()
  const several = await megabytes(whole, 'chain', availableParallelism())
  const hashed = await hashing()
  return {
    durablePerSecond: RECORDS / written.wall,
    bytesPerRecord: statSync(written.path).size / RECORDS,
    cpuPerRecord: (written.cpu * 1e6) / RECORDS,
    cpuPerOperation: (one.cpu * 1e6) / OPERATIONS,
    bytesPerOperation: statSync(one.path).size / OPERATIONS,
    verifyMegabytes: several.wall,
    verifyCpuMegabytes: several.cpu,
    verifyOneMegabytes: (await megabytes(whole, 'chain')).wall,
    readMegabytes: (await megabytes(written.path, 'content')).wall,
    smallBlockMegabytes: (await megabytes(one.path, 'chain')).wall,
    hashMegabytes: hashed,
  }
}

try {
  process.stdout.write(JSON.stringify(await round()))
} finally {
  rmSync(directory, { recursive: true, force: true })
}
