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

/**
 * Calls back for SIGHUP instead of ending: reload, for a service. In a terminal it means that the terminal is gone, and
 * ends the process as ever. The answer stops listening.
 */
export function onReload(listener: () => void): () => void {
  if (process.stdin.isTTY === true) return () => {}
  process.on('SIGHUP', listener)
  return () => {
    process.off('SIGHUP', listener)
  }
}

/** The first ending signal; a second one ends the process at once. A service keeps SIGHUP for `onReload`. */
export function firstSignal(options: { readonly service?: boolean } = {}): {
  readonly signal: Promise<EndingSignal>
  readonly ignore: () => void
} {
  let ignore = (): void => {}
  const signal = new Promise<EndingSignal>((resolve) => {
    let seen = false
    ignore = onSignal((name) => {
      if (name === 'SIGHUP' && options.service === true && process.stdin.isTTY !== true) return
      if (seen) process.exit(exitCodeOfSignal(name))
      seen = true
      resolve(name)
    })
  })
  return { signal, ignore }
}
