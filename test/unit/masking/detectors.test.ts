// Detectors on labelled text, and on text made to slow them down.

import { expect, test } from 'vitest'
import { VgateError } from '../../../src/core/errors.js'
import { detectorNamed } from '../../../src/masking/detectors.js'
import { LABELLED } from './labelled.js'

const NAMES = Object.keys(LABELLED)

test.each(NAMES)('%s: precision and recall on the labelled set', (name) => {
  const find = detectorNamed(name)
  let [right, wrong, missed] = [0, 0, 0]
  const mistakes: string[] = []
  for (const { text, finds } of LABELLED[name] ?? []) {
    const found = find(text).map(({ start, end }) => text.slice(start, end))
    right += found.filter((one) => finds.includes(one)).length
    wrong += found.filter((one) => !finds.includes(one)).length
    missed += finds.filter((one) => !found.includes(one)).length
    if (found.join('|') !== finds.join('|')) mistakes.push(`${text} → ${found.join(' | ')}`)
  }
  const precision = right / (right + wrong)
  const recall = right / (right + missed)
  process.stdout.write(
    `${name}: precision ${precision.toFixed(2)}, recall ${recall.toFixed(2)} of ${right + missed}\n`,
  )
  expect(mistakes).toEqual([])
  expect([precision, recall]).toEqual([1, 1])
})

test('the canaries of the bypass corpus are found', () => {
  const email = detectorNamed('email')
  const ssn = detectorNamed('ssn')
  for (const word of ['ana.canary@leak.test', 'bob.canary@leak.test'])
    expect(email(`x ${word} y`)).toEqual([{ start: 2, end: 2 + word.length }])
  for (let n = 1; n <= 5; n++) expect(ssn(`900-55-400${n}`)).toEqual([{ start: 0, end: 11 }])
})

test('a pattern of the policy is found, counting UTF-16 units', () => {
  expect(detectorNamed('re2:ACME-[0-9]{6}')('🜁 ACME-123456 é ACME-654321')).toEqual([
    { start: 3, end: 14 },
    { start: 17, end: 28 },
  ])
})

test.each(['nope', '', 'toString', 're2:(?=a)', 're2:('])('detector %j is refused', (name) => {
  expect(() => detectorNamed(name)).toThrow(VgateError)
})

const WHOLE = ['a', '@', '1', '.', 'a@']
const PARTS = [
  ' ',
  '-',
  '(',
  '+',
  '"',
  '@a.',
  'a.',
  '1 ',
  '1-',
  '4111 ',
  'DE89 ',
  '12-',
  '%40',
  '"@',
  '(1',
  '٣',
  '900-55-',
  '1(((',
  '0 0-0',
  'é',
  '@é.',
  '"a',
  'a"@',
  `${'a'.repeat(300)}@${'b'.repeat(300)}`,
]

test.each(NAMES)('%s takes linear time on anything', { timeout: 60_000 }, (name) => {
  const find = detectorNamed(name)
  const seconds = (piece: string, size: number): number => {
    const text = piece.repeat(Math.ceil(size / piece.length))
    const begin = performance.now()
    find(text)
    return (performance.now() - begin) / 1000
  }
  for (const piece of WHOLE) expect(seconds(piece, 1024 * 1024), piece).toBeLessThan(8)
  // A square would take hours at a megabyte, and far more than this already here.
  for (const piece of PARTS) expect(seconds(piece, 128 * 1024), piece.slice(0, 10)).toBeLessThan(4)
})
