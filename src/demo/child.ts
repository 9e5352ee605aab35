// Owns the demo's child processes: start, the first JSON event that says they are ready, and a sure end.

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

export type Event = Readonly<Record<string, unknown>>

export interface ChildOptions {
  readonly name: string
  readonly script: string
  readonly args?: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where its stderr goes. */
  readonly logFile: string
  /** How long it may take to say `listening`. */
  readonly readyMs: number
}

export interface Child {
  readonly name: string
  /** The `listening` event. */
  readonly listening: Event
  /** Resolves when the process is gone; says how. */
  readonly ended: Promise<string>
  /** SIGTERM, and SIGKILL after five seconds. */
  stop(): Promise<void>
}

const KILL_MS = 5000

/** The JSON object in a line, if that is what it is. */
export function parseEvent(line: string): Event | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // a line for people
  }
}

/** Starts a Node script and waits for its `listening` event on stdout. Rejects, with nothing left behind, if it ends first or is too slow. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = createWriteStream(options.logFile, { flags: 'a', mode: 0o600 })
  const child = spawn(
    process.execPath,
    ['--no-warnings', options.script, ...(options.args ?? [])],
    {
      env: options.env,
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  )
  child.stderr.pipe(log)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
    )
  })
  const stop = (): Promise<void> => stopChild(child, ended)
  try {
    return {
      name: options.name,
      listening: await firstListening(child, ended, options),
      ended,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function firstListening(
  child: ChildProcess,
  ended: Promise<string>,
  options: ChildOptions,
): Promise<Event> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `${options.name} did not start within ${options.readyMs / 1000} s (see ${options.logFile})`
    timer = setTimeout(() => reject(new Error(message)), options.readyMs)
  })
  const gone = ended.then((how) => {
    throw new Error(`${options.name} ended before it was ready: ${how} (see ${options.logFile})`)
  })
  gone.catch(() => undefined) // also watched after the race is over
  const listening = new Promise<Event>((resolve) => {
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = parseEvent(line)
      if (event?.['event'] === 'listening') resolve(event)
    })
  })
  try {
    return await Promise.race([listening, gone, late])
  } finally {
    clearTimeout(timer)
  }
}

async function stopChild(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_MS)
  await ended
  clearTimeout(timer)
}
