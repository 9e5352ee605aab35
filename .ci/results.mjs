// Owns reading what the test runner reported (its JSON): which files failed, what was skipped, and the count.
// Usage: node .ci/results.mjs failed|skipped FIRST [SECOND]
//        node .ci/results.mjs count FIRST SECOND OTHER_FAILURES
// FIRST is the report of the whole run, SECOND of the run of its failed files alone, or a file that is empty.

import { readFileSync } from 'node:fs'

const [what, first, second, others] = process.argv.slice(2)

const print = (line) => process.stdout.write(`${line}\n`)

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** The tests of each file of a report; a file that failed outside its tests has one more, that failed. */
function filesOf(report) {
  return new Map(
    (report?.testResults ?? []).map((file) => {
      const tests = file.assertionResults.map(({ fullName: name, status }) => ({ name, status }))
      const broken = file.status === 'failed' && tests.every(({ status }) => status !== 'failed')
      return [file.name, broken ? [...tests, { name: '(the file)', status: 'failed' }] : tests]
    }),
  )
}

const failedIn = (tests) => tests.filter(({ status }) => status === 'failed')
const files = filesOf(read(first))
const again = filesOf(second === undefined ? undefined : read(second))
const notes = []
for (const [file, tests] of files) {
  const then = again.get(file)
  if (failedIn(tests).length === 0 || then === undefined || failedIn(then).length > 0) continue
  files.set(file, then)
  for (const { name } of failedIn(tests))
    notes.push(`passed at the second attempt only: ${file}: ${name}`)
}
const tests = [...files.values()].flat()
const passed = tests.filter(({ status }) => status === 'passed')
const failed = failedIn(tests)
const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed')

if (what === 'failed') {
  for (const [file, own] of files) if (failedIn(own).length > 0) print(file)
} else if (what === 'skipped') {
  for (const { name } of skipped) print(`skipped: ${name}`)
} else {
  // What recovered is named, so that nobody takes it for sound.
  for (const note of notes) print(note)
  print(
    `${passed.length} passed, ${failed.length + Number(others)} failed, ${skipped.length} skipped`,
  )
}
