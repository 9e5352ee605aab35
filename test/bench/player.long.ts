// A 2 GB recording, verified, played and searched in bounded memory. `npm run test:long`; its last result is committed.

import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { HUGE, peakBytes, writeHuge } from '../support/large-recording.js'
import { PLAYED_PAIR } from '../support/played-session.js'
import { TestPlayer } from '../support/player.js'

/** Set VGATE_LONG_BYTES for another size. */
const FULL = 2 * 1024 ** 3
const BYTES = Number(process.env['VGATE_LONG_BYTES'] ?? FULL)
const MOST_MEMORY = 300e6
const RESULT = fileURLToPath(new URL('player.result.json', import.meta.url))
const PATIENCE_MS = 1_800_000
const folder = mkdtempSync(join(process.env['VGATE_LONG_DIR'] ?? tmpdir(), 'vgate-long-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The last result of each shape at its full size. */
function keepResult(shape: string, found: object): void {
  const before = existsSync(RESULT) ? JSON.parse(readFileSync(RESULT, 'utf8')) : {}
  const one = { when: new Date().toISOString(), node: process.version, ...found }
  writeFileSync(RESULT, `${JSON.stringify({ ...before, [shape]: one }, null, 2)}\n`)
}

it.each(
  Object.keys(HUGE) as (keyof typeof HUGE)[],
)('of %s is played and searched in bounded memory', async (shape) => {
  const keys = join(folder, 'keys.json')
  writeFileSync(keys, JSON.stringify({ keys: [PLAYED_PAIR.key] }))
  const took: Record<string, number> = {}
  const load = Math.round(loadavg()[0] ?? 0)
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
  const found = { size, records, load, peakMB: Math.round(peak / 1e6), seconds: took }
  process.stdout.write(`${JSON.stringify(found)}\n`)
  if (BYTES >= FULL) keepResult(shape, found)
  expect(size).toBeGreaterThanOrEqual(BYTES)
  expect(peak).toBeLessThan(MOST_MEMORY)
})
