// Owns locks between processes. A lock is a row of numbered files: the highest says who holds it. A lock whose process
// is gone is taken over by making the next number, which one of many waiters can do. Must never remove the highest.

import { randomBytes } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { VgateError } from '../core/errors.js'
import { hasCode } from '../core/system-error.js'

const POLL_MS = 40
const FREE = 'free'
/** Nobody works this long: the owner died and its process id was given to another program. */
const HELD_STALE_MS = 180_000

/** True while a process with this id runs, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}

/** Runs `work` while holding the lock at `path`. Rejects with VGATE_UNEXPECTED when it stays taken for `timeoutMs`. */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  timeoutMs = 30_000,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const mark = `${process.pid} ${randomBytes(8).toString('hex')}`
  const giveUp = Date.now() + timeoutMs
  let held = await take(path, mark)
  while (held === undefined) {
    if (Date.now() > giveUp) {
      throw new VgateError('VGATE_UNEXPECTED', `the lock ${path} stays taken`, {
        hint: `another vgate is at work; if none is, remove ${path}.*`,
      })
    }
    await wait(POLL_MS)
    held = await take(path, mark)
  }
  try {
    return await work()
  } finally {
    await put(numbered(path, held), FREE, rename)
  }
}

/** The number that is ours now, or undefined while somebody else holds the lock. */
async function take(path: string, mark: string): Promise<number | undefined> {
  const highest = (await numbers(path)).at(-1)
  if (highest !== undefined && !(await isFree(numbered(path, highest)))) return undefined
  const mine = (highest ?? 0) + 1
  try {
    // A link appears with its content, and not at all where the number is taken.
    await put(numbered(path, mine), mark, link)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return undefined
    throw error
  }
  const all = await numbers(path)
  if (all.at(-1) === mine) {
    for (const old of all.slice(0, -1)) await rm(numbered(path, old), { force: true })
    return mine
  }
  // What was looked at is long past: others took the lock and let it go meanwhile.
  await rm(numbered(path, mine), { force: true })
  return undefined
}

async function isFree(file: string): Promise<boolean> {
  try {
    const content = await readFile(file, 'utf8')
    if (content === FREE || !isAlive(Number.parseInt(content, 10))) return true
    return Date.now() - (await stat(file)).mtimeMs > HELD_STALE_MS
  } catch {
    // Gone: a higher number is there. The next look sees it.
    return false
  }
}

/** Brings a file to its name with its content at once, by `link` (never over another) or `rename` (over it). */
async function put(
  file: string,
  content: string,
  how: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const fresh = `${file}.${randomBytes(6).toString('hex')}`
  await writeFile(fresh, content, { flag: 'wx', mode: 0o600 })
  try {
    await how(fresh, file)
  } finally {
    await rm(fresh, { force: true })
  }
}

/** Numbers of a lock, lowest first. */
async function numbers(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.`
  const names = await readdir(dirname(path))
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

const numbered = (path: string, number: number): string =>
  join(dirname(path), `${basename(path)}.${number}`)
