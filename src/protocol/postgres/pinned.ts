// Owns the settings that the gateway's reading of a session rests on. Must never let one pass that has another value.

import { VgateError } from '../../core/errors.js'

/** Settings whose change would make the judged text mean something else. */
const PINNED: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
}

/** Throws when the database reports a setting under which the judged text means something else. */
export function checkPinned(name: string, value: string): void {
  const pinned = PINNED[name]
  if (pinned !== undefined && pinned !== value) {
    throw new VgateError(
      'VGATE_DENIED',
      `the database works with ${name} = ${value}, which is not supported`,
      {
        hint: `leave ${name} at ${pinned} for the gateway's role`,
      },
    )
  }
}
