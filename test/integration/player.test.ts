// The player on a real pseudo-terminal, through the binary.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PLAYED_PAIR, writeSession } from '../support/played-session.js'
import { TestPlayer } from '../support/player.js'

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
  return new TestPlayer({ args: ['replay', file, '--key', keys, ...args], folder, width, height, ...more })
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
