// What detectors find in the demo's documents: real e-mails, in which every address and every telephone number was
// replaced by an invented one of a form that nothing else has, so that it is known where they stand.

import { expect, test } from 'vitest'
import { readDocuments } from '../../../src/demo/documents.js'
import { detectorNamed } from '../../../src/masking/detectors.js'
import type { Span } from '../../../src/masking/span.js'

const TEXTS = readDocuments().map(({ body }) => body)

/** Where it stands, and how much of the text may be wrong. Of what is not there only mistakes can be counted. */
const LABELS: Readonly<Record<string, { readonly at: RegExp; readonly least: number }>> = {
  email: { at: /[a-z]+\.[a-z]+\d*@example\.org/g, least: 150 },
  // And two of a company in Australia.
  phone: { at: /\+1 202-555-01\d\d|\+61-2-9817 \d{4}/g, least: 25 },
  card: { at: /(?!)/g, least: 0 },
  iban: { at: /(?!)/g, least: 0 },
  ssn: { at: /(?!)/g, least: 0 },
}

test.each(Object.entries(LABELS))('%s: precision and recall on real text', (name, {
  at,
  least,
}) => {
  const detector = detectorNamed(name)
  let right = 0
  const wrong: string[] = []
  const missed: string[] = []
  for (const text of TEXTS) {
    const labelled = [...text.matchAll(at)].map(
      ({ index, 0: { length } }): Span => ({ start: index, end: index + length }),
    )
    const found = detector(text)
    const same = (a: Span) => (b: Span) => a.start === b.start && a.end === b.end
    right += found.filter((one) => labelled.some(same(one))).length
    for (const one of found)
      if (!labelled.some(same(one))) wrong.push(text.slice(one.start, one.end))
    for (const one of labelled)
      if (!found.some(same(one))) missed.push(text.slice(one.start, one.end))
  }
  const share = (bad: readonly string[]): string =>
    right + bad.length === 0 ? '–' : (right / (right + bad.length)).toFixed(3)
  process.stdout.write(
    `${name}: precision ${share(wrong)}, recall ${share(missed)} of ${right + missed.length} in ${TEXTS.length} e-mails\n`,
  )
  expect({ wrong, missed }).toEqual({ wrong: [], missed: [] })
  expect(right).toBeGreaterThanOrEqual(least)
})
