// A recording with more in it than the player's process may hold is played and searched, forward and back. The long
// form, with 2 GB, is test/bench/player.long.ts.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { writeLarge } from '../support/large-recording.js'
import { PLAYED_PAIR } from '../support/played-session.js'
import { TestPlayer } from '../support/player.js'

/** Content above, heap below: holding it all would end the process. */
const RECORDS = 9000
const HEAP = { NODE_OPTIONS: '--max-old-space-size=64' }
vi.setConfig({ testTimeout: 120_000 })
let folder: string
let keys: string
let large: { readonly path: string; readonly records: number }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-large-'))
  keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [PLAYED_PAIR.key] }))
  const pool = 'much the same words again and again '.repeat(100)
  large = await writeLarge(join(folder, 'r'), pool, (_, records) => records >= RECORDS)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('in the player: search on, back to the start, search back', async () => {
  const args = ['replay', large.path, '--key', keys, '--step']
  const player = new TestPlayer({ args, folder, width: 80, height: 24, env: HEAP, waitMs: 60_000 })
  await player.shows(`1/${large.records}`)
  player.press('/NEEDLE\r')
  await player.shows('SELECT needle')
  await player.shows(`${RECORDS + 1}/${large.records}`)
  player.press('\u001b[H')
  await player.shows(` 1/${large.records}`)
  player.press('G')
  await player.shows(`${large.records}/${large.records}`)
  player.press('?needle\r')
  await player.shows(`${RECORDS + 1}/${large.records}`)
  player.press('q')
  expect(await player.ended).toBe(0)
  expect(player.terminal.strange).toEqual([])
})

it('as lines, to a reader that takes its time', async () => {
  const bin = new URL('../../bin/run.js', import.meta.url).pathname
  const { stdout } = await execa(
    'sh',
    [
      '-c',
      '"$0" "$@" | wc -l',
      process.execPath,
      bin,
      'replay',
      large.path,
      '--key',
      keys,
      '--json',
    ],
    { env: { ...HEAP, VGATE_CONFIG_DIR: folder } },
  )
  expect(Number(stdout)).toBe(large.records + 1)
})
