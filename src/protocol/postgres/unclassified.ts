// Owns how trouble of the adapter's own becomes a request that is refused.

import type { ServerError, Unclassified } from '../../core/operation.js'

/** Trouble of the adapter's own as a request that is refused. */
export function unclassified(
  text: string,
  reason: string,
  hint?: string,
  serverError?: ServerError,
): Unclassified {
  return {
    reason,
    text,
    ...(hint === undefined ? {} : { hint }),
    ...(serverError === undefined ? {} : { serverError }),
  }
}
