// Owns locks between processes: a file that exists while its owner works. Must never outlive its owner: a lock
// whose process is gone is taken over.

import { randomBytes } from 'node:crypto'
import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { VgateError } from '../core/errors.js'

const POLL_MS = 40
/** A lock without a readable owner is stale after this long: its writer died between creating and writing. */
const EMPTY_STALE_MS = 5_000
/** Nobody works this long: the owner died and its process id was given to another program. */
const HELD_STALE_MS = 180_000

/** True while a process with this id runs, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Runs `work` while holding the lock at `path`. Rejects with VGATE_UNEXPECTED when it stays taken for `timeoutMs`. */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  timeoutMs = 30_000,
): Promise<T> {
  const mark = `${process.pid} ${randomBytes(8).toString('hex')}`
  const giveUp = Date.now() + timeoutMs
  while (!(await take(path, mark))) {
    if (Date.now() > giveUp) {
      throw new VgateError('VGATE_UNEXPECTED', `the lock ${path} stays taken`, {
        hint: 'another vgate is at work; if none is, remove that file',
      })
    }
    await dropStale(path)
    await wait(POLL_MS)
  }
  try {
    return await work()
  } finally {
    if ((await content(path)) === mark) await rm(path, { force: true })
  }
}

async function take(path: string, mark: string): Promise<boolean> {
  try {
    await writeFile(path, mark, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

async function dropStale(path: string): Promise<void> {
  const before = await content(path)
  if (before === undefined) return
  const pid = Number.parseInt(before, 10)
  const age = await ageMs(path)
  const stale = Number.isNaN(pid) ? age > EMPTY_STALE_MS : !isAlive(pid) || age > HELD_STALE_MS
  if (!stale) return
  // Moved and looked at again: somebody else may have taken it over since it was read, and that lock must live.
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await rename(path, aside)
  } catch {
    return // Somebody else was quicker.
  }
  if ((await content(aside)) !== before) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

async function content(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
  }
}

async function ageMs(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs
  } catch {
    return 0
  }
}
