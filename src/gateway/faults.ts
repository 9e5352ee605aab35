// Owns what happens when a failure escapes every handler of its own. Nobody knows then what state the process is in, so
// it fails closed: the failure is logged and the gateway is stopped. It must never let the process go on as before.

import type { Logger } from 'pino'
import { VgateError } from '../core/errors.js'

/** How long the stop after a fault may take before the process ends without it. */
export const FAULT_STOP_MS = 15_000

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const

/** The part of `process` that tells of failures nobody handled. */
export interface FaultSource {
  on(event: string, listener: (error: unknown) => void): unknown
  off(event: string, listener: (error: unknown) => void): unknown
  exit(code: number): unknown
}

export interface Faults {
  /** Resolves with the first fault, as the error that the process then ends with. */
  readonly first: Promise<VgateError>
  /** Stops watching. */
  ignore(): void
}

/** Logs every fault. After the first one the process ends within FAULT_STOP_MS, with exit code 1 if nobody ends it before. */
export function watchFaults(source: FaultSource, logger: Pick<Logger, 'fatal'>): Faults {
  let ignore = (): void => undefined
  const first = new Promise<VgateError>((resolve) => {
    let deadline: NodeJS.Timeout | undefined
    const found = (error: unknown): void => {
      logger.fatal({ event: 'gateway.fault', failure: loggedFailure(error) })
      deadline ??= setTimeout(() => source.exit(1), FAULT_STOP_MS).unref()
      resolve(
        new VgateError('VGATE_UNEXPECTED', 'the gateway stopped because of a fault of its own', {
          cause: error,
          hint: 'its log names the fault; start it again and report it',
        }),
      )
    }
    for (const event of EVENTS) source.on(event, found)
    ignore = (): void => {
      clearTimeout(deadline)
      for (const event of EVENTS) source.off(event, found)
    }
  })
  return { first, ignore }
}

/** What of a failure may go into the log: never its properties, which may hold data. */
export function loggedFailure(error: unknown): {
  name: string
  message: string
  stack?: string
  cause?: unknown
} {
  if (!(error instanceof Error)) return { name: 'unknown', message: 'not an error' }
  return {
    name: error instanceof VgateError ? error.code : error.name,
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: loggedFailure(error.cause) }),
  }
}
