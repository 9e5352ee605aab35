// Owns the signals that end a command that runs on, and their exit codes.

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
export type EndingSignal = keyof typeof CODES

const NAMES: readonly EndingSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Exit code of a process that a signal ended: 128 and its number. */
export function exitCodeOfSignal(signal: EndingSignal): number {
  return CODES[signal]
}

/** Calls back for each ending signal instead of dying of it. The answer stops listening. */
export function onSignal(listener: (signal: EndingSignal) => void): () => void {
  const listeners = NAMES.map((name) => [name, () => listener(name)] as const)
  for (const [name, handle] of listeners) process.on(name, handle)
  return () => {
    for (const [name, handle] of listeners) process.off(name, handle)
  }
}

/** The first ending signal; a second one ends the process at once. */
export function firstSignal(): {
  readonly signal: Promise<EndingSignal>
  readonly ignore: () => void
} {
  let ignore = (): void => {}
  const signal = new Promise<EndingSignal>((resolve) => {
    let seen = false
    ignore = onSignal((name) => {
      if (seen) process.exit(exitCodeOfSignal(name))
      seen = true
      resolve(name)
    })
  })
  return { signal, ignore }
}
