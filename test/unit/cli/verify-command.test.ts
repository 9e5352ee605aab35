// `vgate verify` through the binary: a gateway's data folder, and a file that several threads verify.

import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openAuditLog } from '../../../src/audit/audit-log.js'
import { Chain } from '../../../src/audit/chain.js'
import { BlockHasher, encodeBlock, encodeHeader, KIND_RECORDS } from '../../../src/audit/format.js'
import { verifyFile } from '../../../src/audit/verify.js'
import { proveAhead } from '../../../src/audit/verify-ahead.js'
import { buildFile, TEST_TIME, testClock, testPair } from '../../support/recording-files.js'
import { events, runCli } from '../../support/run-cli.js'

const pair = testPair(1)
let folder: string
let keys: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-verify-'))
  keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [pair.key] }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function verify(
  path: string,
): Promise<{ exit: number | undefined; answer: Record<string, unknown> }> {
  const { exit, stdout } = await runCli(['verify', path, '--key', keys, '--json'], folder)
  return { exit, answer: events(stdout)[0] as Record<string, unknown> }
}

describe('the data folder of a gateway', () => {
  let data: string
  let recordings: string
  let audit: string

  beforeEach(async () => {
    data = mkdtempSync(join(folder, 'data-'))
    recordings = join(data, 'recordings')
    audit = join(data, 'audit')
    mkdirSync(recordings)
    writeFileSync(join(data, 'store.db'), 'no recording')
    for (const id of ['ses_one', 'ses_two'])
      writeFileSync(
        join(recordings, `${id}.vgr`),
        buildFile(pair, id, ['open', ['a'], 'closed']).bytes,
      )
    for (let start = 0; start < 3; start += 1) {
      const log = await openAuditLog({ directory: audit, key: pair, clock: testClock() })
      await log.append({ type: 'gateway.started', version: '0.1.0', node: 'v20' })
      await log.close('stopped')
    }
  })

  it('is closed where everything in it is', async () => {
    const { exit, answer } = await verify(data)
    expect([exit, answer]).toMatchObject([0, { v: 1, verdict: 'closed', at: null }])
    expect(answer['files']).toHaveLength(5)
  })

  it.each([
    ['the folder of the log alone', () => audit],
    ['all of it', () => data],
  ])('shows that a file of the log was taken out of the middle: %s', async (_, path) => {
    rmSync(join(audit, 'log-00000002.vgr'))
    const { exit, answer } = await verify(path())
    expect([exit, answer]).toMatchObject([
      10,
      {
        verdict: 'tampered',
        at: { record: 1, block: 0, offset: 0 },
        reason: 'file 2 of the log is missing',
      },
    ])
    expect(answer['files']).toContainEqual({
      path: join(audit, 'log-00000003.vgr'),
      verdict: 'tampered',
      at: { record: 1, block: 0, offset: 0 },
      reason: 'file 2 of the log is missing',
    })
  })

  it('shows a recording whose begin is damaged', async () => {
    const path = join(recordings, 'ses_one.vgr')
    const bytes = readFileSync(path)
    bytes.writeUInt8(0, 0)
    writeFileSync(path, bytes)
    const { exit, answer } = await verify(recordings)
    expect([exit, answer]).toMatchObject([
      10,
      { verdict: 'tampered', reason: 'this is not a recording' },
    ])
  })
})

describe('a recording of more than 64 MiB', () => {
  let path: string
  let size: number

  beforeAll(() => {
    path = join(folder, 'large.vgr')
    const id = 'ses_large'
    const { bytes, hash } = encodeHeader({
      kind: 'session',
      id,
      created: TEST_TIME,
      key: { id: pair.key.id, public: pair.key.public },
    })
    const chain = new Chain(id, pair, hash)
    const hasher = new BlockHasher(hash)
    const parts = [bytes, chain.checkpoint('open', TEST_TIME)]
    const payload = randomBytes(350_000) // a verdict does not look into it
    for (let record = 1; record <= 200; record += 1) {
      const { position } = chain
      const block = encodeBlock(
        { kind: KIND_RECORDS, flags: 0, count: 1, first: record, payloadBytes: payload.length },
        position.head,
        payload,
        hasher,
      )
      const { signed, blocks } = position
      chain.position = { records: record, signed, blocks: blocks + 1, head: block.hash }
      parts.push(block.bytes)
      if (record % 3 === 0) parts.push(chain.checkpoint('open', TEST_TIME))
    }
    writeFileSync(path, Buffer.concat([...parts, chain.checkpoint('closed', TEST_TIME)]))
    size = statSync(path).size
  })

  it('is proved by several threads nearly to its end', async () => {
    const file = await open(path)
    try {
      const start = await proveAhead(file, { depth: 'chain', threads: 3 })
      expect(start?.offset).toBeGreaterThan(size - 4 * 1024 ** 2)
      expect(start?.position.signed).toBe(start?.position.records)
    } finally {
      await file.close()
    }
  })

  it('has the verdict and the place that one scan names', async () => {
    expect(await verify(path)).toMatchObject({
      exit: 0,
      answer: { verdict: 'closed', records: 200 },
    })
    const file = await open(path, 'r+')
    await file.write(Buffer.from('changed'), 0, 7, Math.floor(size * 0.6))
    await file.close()
    const { verdict, at, reason, records } = await verifyFile(path, { keys: [pair.key] })
    expect(verdict).toBe('tampered')
    expect(await verify(path)).toMatchObject({ exit: 10, answer: { verdict, at, reason, records } })
  })
})
