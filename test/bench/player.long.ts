// A 2 GB recording, verified, played and searched in bounded memory. `npm run test:long`; its last result is committed.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { HUGE, peakBytes, writeHuge } from '../support/large-recording.js'
import { PLAYED_PAIR } from '../support/played-session.js'
import { TestPlayer } from '../support/player.js'

/** Set VGATE_LONG_BYTES for another size. */
const BYTES = Number(process.env['VGATE_LONG_BYTES'] ?? 2 * 1024 ** 3)
const MOST_MEMORY = 300e6
const RESULT = fileURLToPath(new URL('player.result.json', import.meta.url))
const results: Record<string, unknown> = {}
const PATIENCE_MS = 600_000
const folder = mkdtempSync(join(process.env['VGATE_LONG_DIR'] ?? tmpdir(), 'vgate-long-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  const said = { when: new Date().toISOString(), node: process.version, ...results }
  if (Object.keys(results).length === Object.keys(HUGE).length)
    writeFileSync(RESULT, `${JSON.stringify(said, null, 2)}\n`)
})

it.each(
  Object.keys(HUGE) as (keyof typeof HUGE)[],
)('of %s is played and searched in bounded memory', async (shape) => {
  const keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [PLAYED_PAIR.key] }))
  const took: Record<string, number> = {}
  let last = performance.now()
  const lap = (name: string): void => {
    took[name] = Math.round(performance.now() - last) / 1000
    last = performance.now()
  }
  const pool = randomBytes(3 * 1024 ** 2).toString('base64')
  const path = join(folder, `${shape}.vgr`)
  const records = writeHuge(path, pool, shape, BYTES)
  lap('write')
  const args = ['replay', path, '--key', keys, '--step']
  const player = new TestPlayer({ args, folder, width: 80, height: 24, waitMs: PATIENCE_MS })
  await player.shows(`1/${records}`)
  lap('verify and show')
  player.press('/needle\r')
  await player.shows('SELECT needle')
  lap('search to the end')
  for (let step = 0; step < 5; step += 1) player.press('b')
  await player.shows(`${records - 7}/${records}`)
  lap('five steps back')
  player.press('g50%\r')
  await player.shows(`${Math.round(records / 2)}/${records}`)
  lap('back to the middle')
  player.press('h') // leave the message line
  const peak = peakBytes(player.pid)
  player.press('hq')
  expect(await player.ended).toBe(0)
  const size = statSync(path).size
  rmSync(path)
  results[shape] = { size, records, peakMB: Math.round(peak / 1e6), seconds: took }
  process.stdout.write(`${JSON.stringify(results[shape])}\n`)
  expect(size).toBeGreaterThanOrEqual(BYTES)
  expect(peak).toBeLessThan(MOST_MEMORY)
})
