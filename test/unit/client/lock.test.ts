// Locks between processes: one at a time, whatever dies when.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { withLock } from '../../../src/client/lock.js'
import { bundled } from '../../support/bundled.js'

let folder: string
let lock: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-lock-'))
  lock = join(folder, 'a.lock')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Id of a process that is no more. */
const dead = (): number =>
  Number(execFileSync(process.execPath, ['-e', 'console.log(process.pid)']).toString())

/** Counts who is inside; anything above one is a broken lock. */
function counter(): { readonly work: () => Promise<void>; readonly most: () => number } {
  let inside = 0
  let most = 0
  return {
    most: () => most,
    work: async () => {
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside -= 1
    },
  }
}

it('lets one in at a time, and everybody in the end', async () => {
  const { work, most } = counter()
  await Promise.all(Array.from({ length: 20 }, () => withLock(lock, work)))
  expect(most()).toBe(1)
  expect(readdirSync(folder)).toHaveLength(1)
})

it('is taken over from a dead owner by one of many waiters', async () => {
  for (let round = 0; round < 2; round += 1) {
    const last = readdirSync(folder).map((name) => Number(name.split('.').at(-1)))
    writeFileSync(`${lock}.${Math.max(0, ...last) + 1}`, `${dead()} 00`)
    const { work, most } = counter()
    await Promise.all(Array.from({ length: 12 }, () => withLock(lock, work)))
    expect(most()).toBe(1)
  }
})

it('is given back when the work fails', async () => {
  await expect(withLock(lock, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(withLock(lock, async () => 'yes')).resolves.toBe('yes')
})

it('is not taken from an owner that lives, and says which file', async () => {
  writeFileSync(`${lock}.7`, `${process.pid} 00`)
  await expect(withLock(lock, async () => 1, 100)).rejects.toMatchObject({
    code: 'VGATE_UNEXPECTED',
    message: `the lock ${lock} stays taken`,
  })
  expect(readFileSync(`${lock}.7`, 'utf8')).toBe(`${process.pid} 00`)
})

it('holds between processes of which some are killed inside', async () => {
  const module = await bundled('src/client/lock.ts')
  const log = join(folder, 'log')
  // Adds a line when it comes in and one when it goes out; one of three never goes out.
  const script = `
    import { appendFileSync } from 'node:fs'
    const { withLock } = await import(${JSON.stringify(module)})
    for (let round = 0; round < 5; round += 1) await withLock(${JSON.stringify(lock)}, async () => {
      appendFileSync(${JSON.stringify(log)}, 'in ' + process.pid + '\\n')
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (process.argv[1] === 'dies' && round === 2) process.kill(process.pid, 'SIGKILL')
      appendFileSync(${JSON.stringify(log)}, 'out ' + process.pid + '\\n')
    })`
  const children = ['lives', 'dies', 'lives', 'dies', 'lives', 'dies'].map((fate) =>
    spawn(process.execPath, ['--input-type=module', '-e', script, fate], { stdio: 'inherit' }),
  )
  await Promise.all(children.map((child) => once(child, 'exit')))
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  const died = children.filter((child) => child.signalCode === 'SIGKILL').map((child) => child.pid)
  expect(died).toHaveLength(3)
  expect(lines.filter((line) => line.startsWith('in'))).toHaveLength(3 * 5 + 3 * 3)
  for (const [at, line] of lines.entries()) {
    const [word, pid] = line.split(' ')
    const next = lines[at + 1]
    // Who is in goes out before anybody comes in, or is dead.
    if (word === 'in' && next !== `out ${pid}`) expect(died).toContain(Number(pid))
  }
})
