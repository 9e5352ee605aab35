// Owns timers as the control plane is handed them, so that a test decides when they ring.

/** Runs a function once after `ms`; the answer cancels it. */
export type Schedule = (ms: number, run: () => void) => () => void

/** Timers of this process; they do not keep it alive. */
export const processSchedule: Schedule = (ms, run) => {
  const timer = setTimeout(run, ms)
  timer.unref()
  return () => clearTimeout(timer)
}
