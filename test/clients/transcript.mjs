// Owns what a client's script tells of what it saw: a line of JSON each, compared between a direct run and one through
// the gateway. What differs from run to run (process ids, OIDs, times) must not be told.

export function tell(what, value) {
  process.stdout.write(`${JSON.stringify({ [what]: value ?? null })}\n`)
}

/** Tells the value of something that may fail, or the server's error. */
export async function attempt(what, run) {
  try {
    tell(what, await run())
  } catch (error) {
    const { severity, code, message, position, detail, hint, constraint_name, constraint } = error
    tell(what, [
      'error',
      severity,
      code,
      message,
      position,
      detail,
      hint,
      constraint_name ?? constraint,
    ])
  }
}
