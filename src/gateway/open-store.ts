// Owns the choice of the store that the configuration names, and what the log hears of it.

import type { Logger } from 'pino'
import type { Clock } from '../core/clock.js'
import { openPostgresStore, openStore } from '../store/open.js'
import type { Store } from '../store/store.js'
import type { GatewayConfig } from './config.js'
import { loggedFailure } from './faults.js'

/** Opens the store. Either kind locks the data directory. Rejects with VGATE_STORE_UNAVAILABLE. */
export async function openConfiguredStore(
  { data: directory, store: settings }: Pick<GatewayConfig, 'data' | 'store'>,
  clock: Clock,
  logger: Pick<Logger, 'error' | 'info'>,
): Promise<Store> {
  if (settings === undefined) return openStore({ directory, clock })
  return await openPostgresStore({
    directory,
    clock,
    settings,
    changed: (event, why) => {
      if (why === undefined) logger.info({ event })
      else logger.error({ event, failure: loggedFailure(why) })
    },
  })
}
