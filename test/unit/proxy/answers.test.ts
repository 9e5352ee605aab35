import { expect, test } from 'vitest'
import { Answers, type LoadQuestion } from '../../../src/proxy/answers.js'

const MAX_AGE_MS = 10_000

/** Answers whose loads are ended by hand, at a time that stands still unless it is set. */
function answers() {
  const state = { now: 1_000_000 }
  const loads: {
    previous: unknown
    end: (value: unknown) => void
    fail: (error: Error) => void
  }[] = []
  const subject = new Answers(
    () => state.now,
    (_question, previous) =>
      new Promise((resolve, reject) => loads.push({ previous, end: resolve, fail: reject })),
  )
  return { subject, loads, state }
}

function question(maxAgeMs = MAX_AGE_MS): LoadQuestion {
  return { kind: 'load', key: 'catalogue', maxAgeMs, load: async () => undefined }
}

async function loaded(given: ReturnType<typeof answers>, value: unknown): Promise<void> {
  const found = given.subject.find(question())
  given.loads.at(-1)?.end(value)
  await found
}

test('one load serves those who ask while it runs, and those who ask later', async () => {
  const given = answers()
  const [first, second] = [given.subject.find(question()), given.subject.find(question())]
  expect(given.subject.known(question())).toBeUndefined()
  given.loads[0]?.end('a')
  expect([await first, await second]).toEqual(['a', 'a'])
  expect(given.subject.known(question())?.value).toBe('a')
  expect(given.loads).toHaveLength(1)
})

test('past half its age an answer still stands while one load renews it', async () => {
  const given = answers()
  await loaded(given, 'a')
  given.state.now += MAX_AGE_MS / 2
  expect(given.subject.known(question())?.value).toBe('a')
  expect(given.subject.known(question())?.value).toBe('a')
  expect(given.loads).toHaveLength(2)
  expect(given.loads[1]?.previous).toBe('a')
  given.loads[1]?.end('b')
  await expect.poll(() => given.subject.known(question())?.value).toBe('b')
})

test('an answer is never used at its greatest age, even while it is being renewed', async () => {
  const given = answers()
  await loaded(given, 'a')
  given.state.now += MAX_AGE_MS - 1
  expect(given.subject.known(question())?.value).toBe('a')
  given.state.now += 1
  expect(given.subject.known(question())).toBeUndefined()
  const found = given.subject.find(question())
  given.loads[1]?.end('b')
  expect(await found).toBe('b')
})

test('the age of an answer counts from the start of its load', async () => {
  const given = answers()
  const found = given.subject.find(question())
  given.state.now += MAX_AGE_MS
  given.loads[0]?.end('a')
  await found
  expect(given.subject.known(question())).toBeUndefined()
})

test('a question for what is so now is not answered by a load that began before', async () => {
  const given = answers()
  await loaded(given, 'a')
  expect(given.subject.known(question(0))).toBeUndefined()
  const early = given.subject.find(question(0))
  const late = given.subject.find(question(0))
  expect(given.loads).toHaveLength(3)
  given.loads[2]?.end('late')
  expect(await late).toBe('late')
  given.loads[1]?.end('early')
  expect(await early).toBe('early')
})

test('a load that began earlier does not replace what a later one found', async () => {
  const given = answers()
  const early = given.subject.find(question(0))
  given.state.now += 1
  const late = given.subject.find(question(0))
  given.loads[1]?.end('late')
  await late
  given.loads[0]?.end('early')
  await early
  expect(given.subject.known(question())?.value).toBe('late')
})

test('a failed renewal leaves what is young enough, and is tried again', async () => {
  const given = answers()
  await loaded(given, 'a')
  given.state.now += MAX_AGE_MS / 2
  given.subject.known(question())
  given.loads[1]?.fail(new Error('no answer'))
  await expect.poll(() => given.subject.known(question())?.value && given.loads.length).toBe(3)
  given.loads[2]?.fail(new Error('no answer'))
  given.state.now += MAX_AGE_MS
  const found = given.subject.find(question())
  const failed = expect(found).rejects.toThrow('no answer')
  given.loads.at(-1)?.fail(new Error('no answer'))
  await failed
})

test('after the clock was set back nothing in memory is trusted', async () => {
  const given = answers()
  await loaded(given, 'a')
  given.state.now -= 1
  expect(given.subject.known(question())).toBeUndefined()
  await loaded(given, 'b')
  expect(given.subject.known(question())?.value).toBe('b')
})
