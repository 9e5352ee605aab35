// Owns telling the log once a day which access rules end within a week, or have ended: at the start `check` says it.

import type { Logger } from 'pino'
import type { LoadedPolicy } from '../control/settings.js'
import { type Clock, systemClock } from '../core/clock.js'
import { ruleEnds, ruleEndText } from '../policy/until.js'

const DAY_MS = 86_400_000

/** Logs `policy.rule_ends`, one line a rule. `policy` is asked anew each time. */
export function logRuleEnds(
  policy: () => LoadedPolicy,
  logger: Pick<Logger, 'warn'>,
  clock: Clock,
): void {
  for (const end of ruleEnds(policy().compiled, clock.now())) {
    logger.warn({ event: 'policy.rule_ends', rule: end.rule, warning: ruleEndText(end) })
  }
}

/** Looks once a day until the answer is called. */
export function watchRuleEnds(
  policy: () => LoadedPolicy,
  logger: Pick<Logger, 'warn'>,
): () => Promise<void> {
  const timer = setInterval(() => logRuleEnds(policy, logger, systemClock), DAY_MS)
  timer.unref()
  return async () => clearInterval(timer)
}
