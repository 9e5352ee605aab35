// Owns the child of `exec`: its environment, the signals that it gets, its end. Exit codes as env(1).

import { execa, type Result } from 'execa'
import { onSignal } from './signals.js'

/** After the session is lost the child may finish for this long before SIGTERM, and again as long before SIGKILL. */
const LOST_MS = 5_000

export interface ChildEnd {
  readonly code: number
  /** The session ended before the child did. */
  readonly lost: boolean
  /** Why it could not be run at all. */
  readonly notRun?: string
}

/** Runs the command with these variables added, until it ends; `lost` resolves when its session is over. */
export async function runChild(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  lost: Promise<unknown>,
): Promise<ChildEnd> {
  const [file = '', ...rest] = command
  const child = execa(file, rest, {
    stdio: 'inherit',
    env: { ...env },
    reject: false,
    forceKillAfterDelay: LOST_MS,
  })
  // A terminal gives Ctrl-C to the whole group, the child included: then it must not come twice.
  const unforward = onSignal((signal) => {
    if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal)
  })
  let over = false
  let wasLost = false
  void lost.then(() => {
    if (over) return
    wasLost = true
    setTimeout(() => {
      if (!over) child.kill('SIGTERM')
    }, LOST_MS).unref()
  })
  const result = await child
  over = true
  unforward()
  const notRun = whyNotRun(file, result)
  return {
    code: wasLost ? 125 : codeOf(result),
    lost: wasLost,
    ...(notRun === undefined ? {} : { notRun }),
  }
}

function whyNotRun(file: string, result: Pick<Result, 'exitCode' | 'signal' | 'code'>) {
  if (result.exitCode !== undefined || result.signal !== undefined) return undefined
  return result.code === 'ENOENT'
    ? `${file}: command not found`
    : `${file}: cannot be run (${result.code ?? 'unknown'})`
}

function codeOf(result: Pick<Result, 'exitCode' | 'signal' | 'code'>): number {
  if (result.exitCode !== undefined) return result.exitCode
  if (result.signal !== undefined) return 128 + (SIGNAL_NUMBERS[result.signal] ?? 0)
  return result.code === 'ENOENT' ? 127 : 126
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
}
