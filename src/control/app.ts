// Owns the control API as one fetch function: order of checks, routes, errors. It must never answer a browser's
// cross-site request, set a cookie, or tell an unexpected error's detail.

import { Hono } from 'hono'
import { PATHS } from '../core/api.js'
import { SESSION_PATHS } from '../core/api-sessions.js'
import { VgateError } from '../core/errors.js'
import type { Principal } from '../core/principal.js'
import { authenticateToken, bearerOf } from './callers.js'
import type { ControlDeps } from './deps.js'
import { type ControlContext, type ControlEnv, errorResponse, SECURITY_HEADERS } from './http.js'
import { addAccessRoutes } from './routes/access.js'
import { addIdentityRoutes, addTokenRoute } from './routes/identity.js'
import { addPublicRoutes } from './routes/public.js'
import { addRequestPage, addRequestRoutes } from './routes/requests.js'
import { addRevokeRoutes } from './routes/revoke.js'
import { addSearchRoutes } from './routes/search.js'
import { addSessionRoutes } from './routes/sessions.js'

export interface Control {
  /** Answers one request. `peer.address` is the address of the socket, for rate limits. Never rejects. */
  fetch(request: Request, peer?: { readonly address: string }): Promise<Response>
  /** Who holds this access token, for the tunnel's upgrade. Throws a VgateError of the login kind. */
  authenticate(bearer: string): Promise<Principal>
}

/** Methods of each path, for the answer to a wrong one. */
const METHODS: Readonly<Record<string, string>> = {
  '/': 'GET, HEAD',
  [PATHS.discovery]: 'GET, HEAD',
  [PATHS.keys]: 'GET, HEAD',
  [PATHS.token]: 'POST',
  [PATHS.logout]: 'POST',
  [PATHS.whoami]: 'GET, HEAD',
  [PATHS.targets]: 'GET, HEAD',
  [PATHS.grants]: 'POST',
  [`${PATHS.grants}/:id/renew`]: 'POST',
  [PATHS.sessions]: 'GET, HEAD',
  [SESSION_PATHS.search]: 'POST',
  [SESSION_PATHS.watch]: 'GET, HEAD',
  [SESSION_PATHS.keys]: 'POST',
  [`${PATHS.sessions}/:id`]: 'GET, HEAD',
  [`${PATHS.sessions}/:id/recording`]: 'GET, HEAD',
  [`${PATHS.sessions}/:id/kill`]: 'POST',
  [PATHS.requests]: 'GET, HEAD',
  [`${PATHS.requests}/:id`]: 'GET, HEAD',
  [`${PATHS.requests}/:id/approve`]: 'POST',
  [`${PATHS.requests}/:id/deny`]: 'POST',
  [PATHS.revoke]: 'POST',
  [`${PATHS.requestPage}/:id`]: 'GET, HEAD',
}

function checkMethod(context: ControlContext, allowed: string): void {
  if (allowed.split(', ').includes(context.req.method)) return
  context.header('allow', allowed)
  throw new VgateError('VGATE_METHOD_UNKNOWN', `this path answers ${allowed} only`)
}

function addChecks(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const https = deps.config.publicUrl.startsWith('https:')
  app.use(async (context, next) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) context.header(name, value)
    if (https) context.header('strict-transport-security', 'max-age=31536000')
    // A browser names the origin of every cross-site request, and cannot leave it out: no page calls this API.
    if (context.req.header('origin') !== undefined) {
      throw new VgateError('VGATE_DENIED', 'the control API is not for browsers')
    }
    await next()
  })
  for (const [path, allowed] of Object.entries(METHODS)) {
    app.use(path, async (context, next) => {
      // `search` is no session's id.
      checkMethod(context, METHODS[context.req.path] ?? allowed)
      await next()
    })
  }
}

function addAuthentication(app: Hono<ControlEnv>, deps: ControlDeps): void {
  const authenticated = [PATHS.logout, PATHS.whoami, PATHS.targets, PATHS.grants, PATHS.sessions]
  for (const path of [
    ...authenticated,
    `${PATHS.grants}/:id/renew`,
    `${PATHS.sessions}/:id`,
    `${PATHS.sessions}/:id/recording`,
    `${PATHS.sessions}/:id/kill`,
    SESSION_PATHS.keys,
    PATHS.requests,
    `${PATHS.requests}/:id`,
    `${PATHS.requests}/:id/approve`,
    `${PATHS.requests}/:id/deny`,
    PATHS.revoke,
  ]) {
    app.use(path, async (context, next) => {
      const bearer = bearerOf(context.req.header('authorization'))
      context.set('caller', await authenticateToken(deps, bearer))
      await next()
    })
  }
}

/** The control plane's HTTP side. */
export function createControl(deps: ControlDeps): Control {
  const app = new Hono<ControlEnv>()
  app.onError((error, context) => {
    if (!(error instanceof VgateError) || error.code === 'VGATE_UNEXPECTED') {
      const failure = { name: error.name, message: error.message, stack: error.stack }
      deps.logger.error({ event: 'control.failed', failure })
    } else if (error.faces.http >= 500) {
      deps.logger.error({
        event: 'control.refused',
        failure: { name: error.code, message: error.message },
      })
    }
    return errorResponse(context, error)
  })
  app.notFound((context) =>
    errorResponse(context, new VgateError('VGATE_NOT_FOUND', 'there is nothing at this path')),
  )
  addChecks(app, deps)
  addPublicRoutes(app, deps)
  addRequestPage(app)
  addTokenRoute(app, deps)
  addAuthentication(app, deps)
  addIdentityRoutes(app, deps)
  addAccessRoutes(app, deps)
  // Before the routes of one session: `search` and `watch` are no ids.
  addSearchRoutes(app, deps)
  addSessionRoutes(app, deps)
  addRequestRoutes(app, deps)
  addRevokeRoutes(app, deps)
  return {
    fetch: async (request, peer) => await app.fetch(request, peer ?? { address: 'unknown' }),
    authenticate: async (bearer) => (await authenticateToken(deps, bearer)).principal,
  }
}
