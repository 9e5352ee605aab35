// Two verifiers, written apart in two languages, say the same: of every vector, and of 10,000 mutations made by
// somebody without the key, and by somebody with it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { verifyFile } from '../../../src/audit/verify.js'
import { testPair } from '../../support/recording-files.js'
import { mutations } from '../../support/recording-mutations.js'
import { firstVerdict, hasPython, secondVerdicts } from '../../support/second-verifier.js'

const MUTATIONS = 10_000
const keys = [testPair(1).key]
const publics = keys.map((key) => key.public)
const script = fileURLToPath(new URL('../../support/verify_recording.py', import.meta.url))

describe.skipIf(!hasPython())('the second verifier', () => {
  it('has at most 200 lines', () => {
    expect(readFileSync(script, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(200)
  })

  it('agrees on every vector', () => {
    const folder = fileURLToPath(new URL('../../vectors/recording', import.meta.url))
    const names = readdirSync(folder)
    const vectors = names.map((name) => readFileSync(join(folder, name), 'utf8').split('\n\n'))
    const field = (head: string, name: string): string =>
      new RegExp(`^${name}: (.*)$`, 'm').exec(head)?.[1] ?? ''
    const said = secondVerdicts(
      vectors.map(([, body = '']) => Buffer.from(body, 'base64')),
      publics,
    )
    const expected = vectors.map(([head = '']) =>
      ['expect', 'records', 'at'].map((name) => field(head, name)).join(' '),
    )
    expect(names.map((name, index) => `${name}: ${said[index]}`)).toEqual(
      names.map((name, index) => `${name}: ${expected[index]}`),
    )
  })

  it(`agrees on ${MUTATIONS} random mutations`, async () => {
    const files = mutations(MUTATIONS)
    const second = secondVerdicts(
      files.map(({ bytes }) => bytes),
      publics,
    )
    const verdicts = new Map<string, number>()
    const differences: string[] = []
    for (const [index, { bytes, how }] of files.entries()) {
      const found = await verifyFile(bytes, { keys })
      const first = firstVerdict(found)
      verdicts.set(found.verdict, (verdicts.get(found.verdict) ?? 0) + 1)
      if (first !== second[index]) differences.push(`${how}: ${first}, not ${second[index]}`)
      // Without the key nothing but a cut tail goes unnoticed.
      if (found.verdict === 'closed' && how.startsWith('without'))
        differences.push(`${how}: closed`)
    }
    expect(differences).toEqual([])
    // The mutations reach every verdict, or the agreement would say little.
    for (const verdict of ['closed', 'incomplete', 'tampered', 'unknown_key'])
      expect(verdicts.get(verdict), verdict).toBeGreaterThan(20)
  }, 180_000)
})
