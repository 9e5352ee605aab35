// The player without a terminal: keys, clock and answers in; states, questions and frames out.

import { beforeEach, describe, expect, it } from 'vitest'
import { noColor } from '../../../../src/audit/render.js'
import type { Told } from '../../../../src/audit/story.js'
import { Timeline } from '../../../../src/audit/timeline.js'
import { columnsOf } from '../../../../src/audit/width.js'
import { testFor } from '../../../../src/cli/play.js'
import { goalOf, travelTo } from '../../../../src/cli/player/goal.js'
import { keysOf } from '../../../../src/cli/player/keys.js'
import { type PlayerEvent, react } from '../../../../src/cli/player/react.js'
import {
  type Ask,
  currentSeq,
  firstState,
  type PlayerState,
  WINDOW,
  wakeAt,
} from '../../../../src/cli/player/state.js'
import { surveyOf } from '../../../../src/cli/player/survey.js'
import { View } from '../../../../src/cli/player/view.js'

const START = Date.parse('2026-03-01T12:00:00.000Z')
const TOTAL = 600

/** One record a second; every 10th is refused, every 25th held, every 7th says needle. */
function recordAt(seq: number): Told {
  const verdict = seq % 10 === 0 ? 'deny' : seq % 25 === 0 ? 'hold' : 'permit'
  const at = new Date(START + seq * 1000).toISOString()
  const text = seq % 7 === 0 ? `Needle ${seq}` : `hay ${seq}`
  return { record: { seq, at, type: 'operation.judged', verdict, rule: 'r', text } }
}

async function* records() {
  for (let seq = 1; seq <= TOTAL; seq += 1) yield recordAt(seq)
}

let state: PlayerState
let now: number
let timeline: Timeline
let asked: Ask[]

function start(options: { playing?: boolean; speed?: number; live?: boolean } = {}): void {
  const { playing = false, speed = 1, live = false } = options
  now = 1_000_000
  asked = []
  timeline = new Timeline(records, () => TOTAL)
  state = firstState({
    width: 80,
    height: 24,
    total: TOTAL,
    live,
    playing,
    pace: { speed, idleMs: 2000 },
    only: undefined,
    startedAt: new Date(START).toISOString(),
  })
}

type Bare<T> = T extends unknown ? Omit<T, 'now'> : never
function take(event: Bare<PlayerEvent>): Ask | undefined {
  const { state: next, ask } = react(state, { ...event, now } as PlayerEvent)
  state = next
  if (ask !== undefined) asked.push(ask)
  return ask
}

/** Takes an event, and answers what it asks until nothing is asked. */
async function settle(event: Bare<PlayerEvent>): Promise<void> {
  let ask = take(event)
  while (ask !== undefined && ask.kind !== 'cancel') {
    const test = testFor(ask.only)
    if (ask.kind === 'more') {
      ask = take({ kind: 'more', records: await timeline.next(ask.after, 64, test) })
      continue
    }
    const from = { record: ask.from, test, window: WINDOW, startedAt: state.startedAt }
    ask = take({ kind: 'arrived', records: await travelTo(timeline, ask.goal, from, {}) })
  }
}
const press = async (...keys: string[]): Promise<void> => {
  for (const key of keys) await settle({ kind: 'key', key })
}
const type = (text: string): Promise<void> => press(...text, 'enter')

beforeEach(() => start())

describe('stepping', () => {
  it('shows the first record at once, then one for each key', async () => {
    await settle({ kind: 'tick' })
    expect(currentSeq(state)).toBe(1)
    await press('n', 'right', 'l', 'enter')
    expect(currentSeq(state)).toBe(5)
    await press('b', 'left')
    expect(currentSeq(state)).toBe(3)
    await press('n')
    expect(currentSeq(state)).toBe(4)
  })

  it('says where it ends, in both directions', async () => {
    await settle({ kind: 'tick' })
    await press('b')
    expect([currentSeq(state), state.message]).toEqual([1, 'this is the first record'])
    await press('end', 'n')
    expect([currentSeq(state), state.message]).toEqual([TOTAL, 'this is the last record'])
  })

  it('steps back farther than it remembers', async () => {
    await settle({ kind: 'tick' })
    await press('end')
    for (let step = 0; step < WINDOW * 2; step += 1) await press('b')
    expect(currentSeq(state)).toBe(TOTAL - WINDOW * 2)
    expect(state.shown.length).toBeLessThanOrEqual(WINDOW)
  })
})

describe('playing', () => {
  const run = async (ms: number, step = 50): Promise<void> => {
    for (let passed = 0; passed < ms; passed += step) {
      now += step
      await settle({ kind: 'tick' })
    }
  }

  it('shows each record at its time, faster with +, slower with -', async () => {
    start({ playing: true })
    await settle({ kind: 'tick' })
    expect(wakeAt(state)).toBe(now + 1000)
    await run(5000)
    expect(currentSeq(state)).toBe(6)
    await press('+')
    await run(5000)
    expect([state.pace.speed, currentSeq(state)]).toEqual([2, 16])
    await press('-', '-')
    await run(4000)
    expect([state.pace.speed, currentSeq(state)]).toEqual([0.5, 18])
  })

  it('pauses and goes on without losing or repeating what was waited', async () => {
    start({ playing: true })
    await settle({ kind: 'tick' })
    await run(600)
    await press(' ')
    await run(60_000)
    expect([state.playing, currentSeq(state), wakeAt(state)]).toEqual([false, 1, undefined])
    await press(' ')
    expect(wakeAt(state)).toBe(now + 400)
  })

  it('never waits longer than the longest pause', async () => {
    start({ playing: true, speed: 0.25 })
    await settle({ kind: 'tick' })
    expect(wakeAt(state)).toBe(now + 2000)
  })

  it('without waiting plays to the end, and stops there', async () => {
    start({ playing: true, speed: 0 })
    await run(200)
    expect([currentSeq(state), state.playing, state.message]).toEqual([TOTAL, false, 'the end'])
    await press(' ')
    expect([state.playing, state.message]).toEqual([false, 'this is the last record'])
  })

  it('waits at the end of a session that goes on, and plays what comes', async () => {
    start({ playing: true, speed: 0, live: true })
    await run(200)
    expect([currentSeq(state), state.playing]).toEqual([TOTAL, true])
    asked = []
    take({ kind: 'grown', total: TOTAL + 1, live: true })
    expect(asked).toEqual([{ kind: 'more', after: TOTAL, only: undefined }])
    take({ kind: 'more', records: [recordAt(TOTAL + 1)] })
    expect(currentSeq(state)).toBe(TOTAL + 1)
    take({ kind: 'more', records: [] })
    take({ kind: 'grown', total: TOTAL + 1, live: false })
    take({ kind: 'more', records: [] })
    expect([state.playing, state.message]).toEqual([false, 'the end'])
  })
})

describe('going elsewhere', () => {
  beforeEach(() => settle({ kind: 'tick' }))

  it.each([
    ['300', 300],
    ['#12', 12],
    ['50%', 300],
    ['1:30', 90],
    ['0:00:05.5', 6],
    ['90s', 90],
    ['9999', TOTAL],
    ['2h', TOTAL],
  ])('g %s leads to record %i', async (text, record) => {
    await press('g')
    await type(text)
    expect([currentSeq(state), state.busy, state.message]).toEqual([record, undefined, undefined])
  })

  it('goes so much on or back from here', async () => {
    await press('g')
    await type('100')
    await press('g')
    await type('+30s')
    expect(currentSeq(state)).toBe(130)
    await press('g')
    await type('-1m')
    expect(currentSeq(state)).toBe(70)
    await press('pagedown', 'pagedown', 'pageup')
    expect(currentSeq(state)).toBe(80)
    await press('home')
    expect(currentSeq(state)).toBe(1)
  })

  it('says what it understands', async () => {
    await press('g')
    await type('nowhere')
    expect(state.message).toContain('1:30')
    expect(goalOf('--5s', { total: 9, ms: 0 })).toBeUndefined()
  })

  it('searches on and back, whatever the case, and again', async () => {
    await press('/')
    await type('nEEdle')
    expect(currentSeq(state)).toBe(7)
    await press('m', 'm')
    expect(currentSeq(state)).toBe(21)
    await press('M')
    expect(currentSeq(state)).toBe(14)
    await press('/', 'enter')
    expect(currentSeq(state)).toBe(21)
    await press('?')
    await type('hay 3')
    expect(currentSeq(state)).toBe(3)
    await press('/')
    await type('nobody said this')
    expect([currentSeq(state), state.message]).toEqual([3, 'not found'])
    await press('n')
    expect(currentSeq(state)).toBe(4)
  })

  it('edits what is typed, and forgets it with Esc', async () => {
    await press('/', 'a', 'b', 'backspace', 'q', '日')
    expect(state.prompt?.text).toBe('aq日')
    await press('ctrl-u')
    expect(state.prompt?.text).toBe('')
    await press('escape')
    expect([state.prompt, state.quit]).toEqual([undefined, undefined])
  })

  it('filters denied, held and masked in turn, and nothing again', async () => {
    await press('g')
    await type('105')
    await press('o')
    expect([state.only, currentSeq(state)]).toEqual(['denied', 100])
    await press('n')
    expect(currentSeq(state)).toBe(110)
    await press('b', 'b')
    expect(currentSeq(state)).toBe(90)
    await press('o')
    expect([state.only, currentSeq(state)]).toEqual(['held', 75])
    await press('o')
    expect([state.only, state.message]).toEqual(['masked', 'nothing was masked'])
    await press('o', 'n') // from the first record again
    expect([state.only, currentSeq(state)]).toEqual([undefined, 2])
  })

  it('takes what is typed ahead in its order, also a q that belongs to a text', async () => {
    take({ kind: 'key', key: 'G' })
    for (const key of [
      'o',
      'o',
      'g',
      '1',
      '0',
      '1',
      'enter',
      '/',
      'q',
      'backspace',
      'backspace',
      'b',
    ])
      take({ kind: 'key', key })
    expect(state.typed).toHaveLength(12)
    const last = asked.at(-1)
    expect(last).toMatchObject({ kind: 'jump', goal: { record: TOTAL } })
    // Going to the end is answered; the rest answers itself.
    await settle({
      kind: 'arrived',
      records: await timeline.last(TOTAL, WINDOW, testFor(undefined)),
    })
    expect([state.quit, state.only, currentSeq(state), state.typed]).toEqual([
      undefined,
      'held',
      25,
      [],
    ])
  })

  it('stops looking with Esc, and q quits', async () => {
    await press('/', 'x')
    take({ kind: 'key', key: 'enter' })
    take({ kind: 'progress', record: 17 })
    expect(state.busy).toMatchObject({ what: 'looking for x', record: 17 })
    expect(react(state, { kind: 'key', key: 'q', now }).state.quit).toBe('quit')
    take({ kind: 'key', key: 'n' })
    expect(state.busy).toBeDefined()
    expect(take({ kind: 'key', key: 'escape' })).toEqual({ kind: 'cancel' })
    expect([state.busy, state.typed]).toEqual([undefined, []])
    await settle({ kind: 'key', key: 'n' })
    expect(currentSeq(state)).toBe(2)
  })
})

describe('quitting', () => {
  it.each([
    ['q', 'quit'],
    ['ctrl-d', 'quit'],
    ['ctrl-c', 'interrupted'],
  ])('%s', async (key, how) => {
    await press(key)
    expect(state.quit).toBe(how)
  })

  it('Ctrl-C also while something is typed or looked for', async () => {
    await press('/', 'q', 'ctrl-c')
    expect(state.quit).toBe('interrupted')
  })
})

describe('the frame', () => {
  const view = new View(noColor)
  const frame = (): readonly string[] => view.frame(state).lines

  it.each([
    [20, 5],
    [20, 1],
    [33, 2],
    [80, 24],
    [200, 60],
  ])('has %i columns and %i lines, whatever the state', async (width, height) => {
    take({ kind: 'resize', width, height })
    const check = (): void => {
      expect(frame()).toHaveLength(height)
      for (const line of frame()) expect(columnsOf(line)).toBeLessThanOrEqual(width)
    }
    check()
    await settle({ kind: 'tick' })
    for (const key of ['n', 'end', 'b', 'h', 'h', '/', '日', '本', 'x', 'enter', 'o', '+', 'up']) {
      await press(key)
      check()
    }
    const marks = surveyOf(told(), TOTAL, new AbortController().signal)
    take({ kind: 'surveyed', survey: await marks })
    check()
  })

  async function* told() {
    for await (const { record } of records()) yield record
  }

  it('marks on the timeline where something was refused or held', async () => {
    await settle({ kind: 'tick' })
    const survey = await surveyOf(told(), TOTAL, new AbortController().signal)
    expect([survey.denied, survey.held, survey.masked]).toEqual([60, 12, 0])
    take({ kind: 'surveyed', survey })
    take({ kind: 'resize', width: 200, height: 10 })
    const [bar = '', status = ''] = frame().slice(-2)
    expect(bar).toMatch(/^■ 1× ●.*×.*◆.* 1\/600 0:01\/10:00$/)
    expect(status).toContain('60 denied, 12 held')
  })

  it('shows the beginning of a record that is higher than the terminal, and scrolls', async () => {
    await settle({ kind: 'tick' })
    const long = Array.from({ length: 50 }, (_, index) => `line ${index}`).join('\n')
    const record = { ...recordAt(2).record, text: long }
    state = { ...state, shown: [recordAt(1), { record }], height: 12 }
    expect(frame()[1]).toBe('  line 0')
    state = { ...state, scroll: -3 }
    expect(frame()[0]).toBe('  line 2')
    state = { ...state, scroll: 1000 }
    expect([frame()[0], view.frame(state).scroll]).toEqual(['+0:01.000 allowed · r', 2])
  })
})

describe('keys of a terminal', () => {
  it.each([
    ['\u001b[A\u001b[B\u001bOC\u001b[D', ['up', 'down', 'right', 'left']],
    ['\u001b[5~\u001b[6~\u001b[H\u001b[4~', ['pageup', 'pagedown', 'home', 'end']],
    ['ab日👍', ['a', 'b', '日', '👍']],
    ['\u001b', ['escape']],
    ['\r\n\u007f\u0003\u0004', ['enter', 'enter', 'backspace', 'ctrl-c', 'ctrl-d']],
    ['\u001b[200~\u0001\u001b[1;5C\u0000', []],
  ])('%j', (chunk, keys) => {
    expect(keysOf(chunk)).toEqual(keys)
  })
})
