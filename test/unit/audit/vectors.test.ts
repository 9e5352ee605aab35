// The vectors of docs/spec/recording-v1.md, as they are committed, and hostile files.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RecordingScanner } from '../../../src/audit/scanner.js'
import { verifyFile } from '../../../src/audit/verify.js'
import { buildFile, TEST_TIME, testPair } from '../../support/recording-files.js'
import { recordingVectors, vectorText } from '../../support/recording-vectors.js'

const folder = fileURLToPath(new URL('../../vectors/recording', import.meta.url))
if (process.env['UPDATE_VECTORS'] === '1') {
  mkdirSync(folder, { recursive: true })
  for (const vector of recordingVectors())
    writeFileSync(join(folder, `${vector.name}.txt`), vectorText(vector))
}

function parse(text: string) {
  const [head = '', body = ''] = text.split('\n\n')
  const fields = new Map(
    head
      .split('\n')
      .map((row): [string, string] => [
        row.slice(0, row.indexOf(':')),
        row.slice(row.indexOf(':') + 2),
      ]),
  )
  const field = (name: string) => fields.get(name) ?? ''
  const key = {
    id: 'not used',
    algorithm: 'Ed25519' as const,
    public: field('key'),
    since: TEST_TIME,
  }
  return {
    expected: field('expect'),
    records: Number(field('records')),
    at: field('at'),
    read: field('read'),
    key,
    bytes: Buffer.from(body, 'base64'),
  }
}

describe('a committed vector', () => {
  it.each(readdirSync(folder))('%s', async (name) => {
    const vector = parse(readFileSync(join(folder, name), 'utf8'))
    const { verdict, records, at } = await verifyFile(vector.bytes, { keys: [vector.key] })
    const place = at === undefined ? '-' : `${at.record} ${at.block} ${at.offset}`
    expect({ verdict, records, place }).toEqual({
      verdict: vector.expected,
      records: vector.records,
      place: vector.at,
    })
    const read = await verifyFile(vector.bytes, { keys: [vector.key], depth: 'content' })
    expect(read.verdict).toBe(vector.read)
  })

  it('is there for every case that the script makes, and no other', () => {
    expect(readdirSync(folder).sort()).toEqual(
      recordingVectors()
        .map(({ name }) => `${name}.txt`)
        .sort(),
    )
  })
})

describe('any bytes', () => {
  const file = buildFile(testPair(1), 'ses_any', [
    'open',
    ['a', 'b'],
    'open',
    Array.from({ length: 90 }, (_, n) => `r${n}`),
    'closed',
  ])
  const keys = [testPair(1).key]

  it('give the same verdict however they are cut into pieces', async () => {
    const whole = await verifyFile(file.bytes, { keys })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 40 }),
        async (sizes) => {
          async function* pieces() {
            for (let at = 0, index = 0; at < file.bytes.length; index += 1) {
              const size = sizes[index % sizes.length] ?? 1
              yield file.bytes.subarray(at, at + size)
              at += size
            }
          }
          expect(await verifyFile(pieces(), { keys })).toEqual(whole)
        },
      ),
      { seed: 1, numRuns: 50 },
    )
  })

  it('never throw and never verify', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(file.bytes.length - 1),
        async (noise, at) => {
          const bytes = Buffer.concat([file.bytes.subarray(0, at), noise])
          fc.pre(!bytes.equals(file.bytes))
          expect(['tampered', 'incomplete']).toContain((await verifyFile(bytes, { keys })).verdict)
        },
      ),
      { seed: 1, numRuns: 300 },
    )
  })

  it('are refused as soon as a length is out of range, not when it is reached', () => {
    const scanner = new RecordingScanner()
    scanner.push(Buffer.concat([Buffer.from('vgate/recording\n'), Buffer.from([1, 0xff, 0xff])]))
    expect(scanner.next()).toBeUndefined()
    expect(scanner.outcome).toMatchObject({
      kind: 'tampered',
      reason: 'the length of the header is out of range',
    })
  })
})
