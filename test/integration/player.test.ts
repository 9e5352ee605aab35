// The player on a real pseudo-terminal, through the binary.

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRecording } from '../../src/audit/writer.js'
import { judgedBody, PLAYED_PAIR, writeSession } from '../support/played-session.js'
import { TestPlayer } from '../support/player.js'
import { testClock } from '../support/recording-files.js'
import { events, runCli, spawnCli, untilLine } from '../support/run-cli.js'

let folder: string
let file: string
let keys: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-player-'))
  file = await writeSession(join(folder, 'recordings'))
  keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [PLAYED_PAIR.key] }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function play(
  args: readonly string[] = [],
  size: readonly [number, number] = [80, 24],
  more: { env?: Record<string, string>; shell?: boolean } = {},
): TestPlayer {
  const [width, height] = size
  return new TestPlayer({
    args: ['replay', file, '--key', keys, ...args],
    folder,
    width,
    height,
    ...more,
  })
}

async function quit(player: TestPlayer, key = 'q'): Promise<number> {
  player.press(key)
  const code = await player.ended
  expect(player.terminal.strange).toEqual([])
  expect([...player.terminal.modes].sort()).toEqual(['?25', '?7'])
  return code
}

describe.each([
  [20, 8],
  [40, 12],
  [80, 24],
  [200, 50],
])('on %i × %i', (width, height) => {
  it('steps through every record, and never writes beyond the screen', async () => {
    const player = play(['--step'], [width, height])
    await player.shows('1/11')
    for (let record = 2; record <= 11; record += 1) {
      player.press('n')
      await player.shows(`${record}/11`)
    }
    player.press('b')
    await player.shows('10/11')
    expect(await quit(player)).toBe(0)
  })
})

describe('the player', () => {
  it('shows the last column: a text that is cut there goes on in the next line, and nothing is lost', async () => {
    const player = play(['--step'], [20, 24])
    await player.shows('1/11')
    player.press('\u001b[F')
    await player.shows('11/11')
    player.press('g')
    await player.shows('go to: _')
    player.press('7\r')
    await player.shows('7/11')
    const together = player.terminal.lines.map((line) => line.trim()).join('')
    expect(together).toContain('roles.writer.hold[0]')
    expect(await quit(player)).toBe(0)
  })

  it('plays by itself, holds and approvals as people tell them, and stays at the end', async () => {
    const player = play(['--speed', '100', '--max-idle', '1s'])
    await player.shows('the end')
    player.press('g')
    await player.shows('go to: _')
    player.press('8\r')
    await player.shows('approved by Bob after 2 min 31 s · request req_1 · asked by Alice')
    await player.shows('would touch 18,204 of 20,000 points in docs')
    await player.shows('waits Alice asks Bob or Carol')
    await player.shows('vector(1536)')
    expect(await quit(player)).toBe(0)
  })

  it('pauses, changes speed, filters, searches and goes to a time', async () => {
    const player = play(['--step'])
    await player.shows('1/11')
    player.press('+')
    await player.shows('■ 2×')
    player.press('/salaries\r')
    await player.shows('5/11')
    player.press('o')
    await player.shows('only denied')
    player.press('ooog1:30\r')
    await player.shows('8/11')
    player.press('/no such thing\r')
    await player.shows('not found')
    player.press('\u001b[H \u001b[F')
    await player.shows('11/11')
    player.press('h')
    await player.shows('play, pause')
    player.press('h')
    await player.shows('session closed')
    expect(await quit(player, '\u0004')).toBe(0)
  })

  it('shows nothing active of a recording full of escapes', async () => {
    const player = play(['--step'])
    await player.shows('1/11')
    player.press('G')
    await player.shows("SELECT '^[[2J^[]0;owned^G^[]52;c;ZXZpbA==^[\\\\u{9b}31m\\u{202e}")
    player.press('/\u202e\u001b]0;x\u0007') // nor of what is typed
    await player.shows('/')
    player.press('\u0003')
    expect(await player.ended).toBe(130)
    expect(player.terminal.strange).toEqual([])
  })

  it('follows the terminal when it is resized', async () => {
    const player = play(['--step', '--only', 'denied'])
    await player.shows('5/11')
    for (const [width, height] of [
      [20, 6],
      [133, 40],
      [48, 3],
    ] as const) {
      player.resize(width, height)
      await player.shows('5/11')
      expect(player.terminal.lines.filter((line) => line.includes('5/11'))).toHaveLength(1)
    }
    expect(await quit(player)).toBe(0)
  })

  it.each([
    ['q', 'q', 0],
    ['Ctrl-C', '\u0003', 130],
    ['SIGTERM', 'SIGTERM', 143],
    ['SIGINT', 'SIGINT', 130],
  ])('gives the terminal back after %s', async (_, how, code) => {
    const player = play([], [80, 24], { shell: true })
    await player.shows('/11')
    if (how.startsWith('SIG')) process.kill(Number(await player.child()), how)
    else player.press(how)
    await player.ended
    const { outside, modes, strange } = player.terminal
    const [before, ...rest] = outside.split('\r\n').filter((line) => line !== '')
    expect(rest.at(-1)).toBe(before)
    expect(rest).toContain(`exit ${code}`)
    expect([[...modes].sort(), strange]).toEqual([['?25', '?7'], []])
  })

  it('has colours, and none with NO_COLOR', async () => {
    const colourful = play(['--step'])
    await colourful.shows('1/11')
    await quit(colourful)
    expect(colourful.terminal.colours).toBeGreaterThan(0)
    const plain = play(['--step'], [80, 24], { env: { NO_COLOR: '1' } })
    await plain.shows('1/11')
    await quit(plain)
    expect(plain.terminal.colours).toBe(0)
  })

  it.each([
    ['CI is set', { CI: 'true' }],
    ['the terminal is dumb', { TERM: 'dumb' }],
  ])('does not begin where %s: every line in full, and no keys', async (_, env) => {
    const player = play([], [40, 10], { env })
    expect(await player.ended).toBe(0)
    const { outside, modes, strange } = player.terminal
    expect(outside).toContain(
      'waits Alice asks Bob or Carol · request req_1 · roles.writer.hold[0]\r\n',
    )
    expect([modes.size, strange]).toEqual([0, []])
  })

  it('begins only where keys can be pressed', async () => {
    const { exit, stderr } = await runCli(['replay', file, '--key', keys, '--step'], folder)
    expect([exit, stderr]).toEqual([2, expect.stringContaining('--step needs a terminal')])
  })
})

describe('--follow', () => {
  it('plays what is added to a recording, until it is closed', async () => {
    const clock = testClock()
    const recording = openRecording({
      directory: join(folder, 'live'),
      id: 'ses_live',
      kind: 'session',
      key: PLAYED_PAIR,
      clock,
    })
    recording.append(judgedBody(1, 'SELECT 1'))
    await recording.checkpoint()
    const args = ['replay', recording.path, '--key', keys, '--follow', '--speed', '0']
    const player = new TestPlayer({ args, folder, width: 80, height: 24 })
    const lines = spawnCli([...args, '--json'], folder)
    const seen = [1, 2].map((n) => untilLine(lines, (line) => line.includes(`SELECT ${n}`)))
    await player.shows('1/1 0:00 live')
    await seen[0]
    recording.append(judgedBody(2, 'SELECT 2'))
    await recording.checkpoint()
    await player.shows('SELECT 2')
    await seen[1]
    recording.append(judgedBody(3, 'SELECT unsigned'))
    recording.flush()
    const totals = { operations: 3, denied: 0, rows: 0, bytesOut: 0 }
    await recording.close({ type: 'session.closed', reason: 'stopped', totals })
    await player.shows('the end')
    await player.shows('session closed')
    expect(await quit(player)).toBe(0)
    const { exitCode, stdout } = await lines
    expect([exitCode, events(String(stdout)).length]).toEqual([0, 6])
  })

  it('stops at once when what is followed is tampered with', async () => {
    const recording = openRecording({
      directory: join(folder, 'live'),
      id: 'ses_tampered',
      kind: 'session',
      key: PLAYED_PAIR,
      clock: testClock(),
    })
    recording.append(judgedBody(1, 'SELECT 1'))
    await recording.checkpoint()
    const args = ['replay', recording.path, '--key', keys, '--follow']
    const player = new TestPlayer({ args, folder, width: 80, height: 24 })
    await player.shows('live')
    appendFileSync(recording.path, Buffer.alloc(400, 7))
    expect(await player.ended).toBe(10)
    expect(player.terminal.outside).toContain('tampered')
    expect(player.terminal.modes.has('?1049')).toBe(false)
  })
})
