// Owns the door of the Postgres family: what `proxy` gets of it.

import type {
  Adapter,
  AdapterContext,
  AdapterHost,
  ProtocolFamily,
  UpstreamCancelHost,
  UpstreamLogin,
  UpstreamLoginHost,
} from '../../core/adapter.js'
import type { PostgresProduct } from '../table.js'
import { PostgresAdapter } from './adapter.js'
import { PostgresCancel } from './cancel.js'
import { type LoginOptions, PostgresLogin } from './login.js'
import { POSTGRES_USERS } from './short-lived-user.js'
import type { SqlAnalyzer } from './statement.js'

/** The Postgres wire family for one product. `analyzer` is made for the same product. */
export function postgresFamily(_product: PostgresProduct, analyzer: SqlAnalyzer): ProtocolFamily {
  return {
    createAdapter: (context: AdapterContext, host: AdapterHost): Adapter =>
      new PostgresAdapter(context, host, analyzer),
    createLogin: (options: LoginOptions, host: UpstreamLoginHost): UpstreamLogin =>
      new PostgresLogin(options, host),
    createCancel: (options, host: UpstreamCancelHost): UpstreamLogin =>
      new PostgresCancel(options, host),
    prepare: () => analyzer.prepare(),
    users: POSTGRES_USERS,
  }
}
