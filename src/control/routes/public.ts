// Owns what anybody may read: discovery, public keys, and a page that says what this address is.

import type { Hono } from 'hono'
import { API_VERSION, type Discovery, PATHS, TUNNEL_VERSION } from '../../core/api.js'
import { type ControlDeps, isoTime } from '../deps.js'
import type { ControlEnv } from '../http.js'

const LANDING = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>vgate</title>
<h1>vgate</h1>
<p>This is an access gateway for vector databases. There is nothing to see in a browser.</p>
<p>On your machine: <code>vgate login --gateway</code> and this address.</p>
</html>
`

/** Adds the routes that need no token. */
export function addPublicRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  app.get('/', (context) => context.html(LANDING))
  app.get(PATHS.discovery, (context) => {
    const body: Discovery = {
      v: 1,
      name: 'vgate',
      version: deps.version,
      api: { versions: [API_VERSION] },
      tunnel: { path: PATHS.tunnel, versions: [TUNNEL_VERSION] },
      providers: deps.config.providers.map(({ name, type, issuer, clientId, scopes }) => ({
        name,
        type,
        issuer,
        client_id: clientId,
        scopes: [...scopes],
      })),
      workloads: deps.config.workloads.map(({ name, issuer, audience }) => ({
        name,
        issuer,
        audience,
      })),
      keys: [...deps.signingKeys()],
      time: isoTime(deps.clock.now()),
    }
    return context.json(body)
  })
  app.get(PATHS.keys, (context) => context.json({ keys: deps.signingKeys() }))
}
