// Owns the demo's own OIDC provider: device flow, three people to pick from, groups in the ID token. It trusts whoever
// clicks: for the demo on loopback and for tests alone.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import type { KoaContext } from 'oidc-provider'

export const DEMO_CLIENT_ID = 'vgate'
const GROUPS_SCOPE = 'groups'

/** The people of the demo and what the policy is told about them. */
export const DEMO_PEOPLE = {
  alice: {
    email: 'alice@example.org',
    groups: ['data-science'],
    about: 'data scientist: reads, masked',
  },
  bob: {
    email: 'bob@example.org',
    groups: ['data-owners'],
    about: 'data owner: may do everything',
  },
  carol: {
    email: 'carol@example.org',
    groups: ['contractors'],
    about: 'contractor: a narrow role',
  },
} as const
export type DemoPerson = keyof typeof DEMO_PEOPLE

export interface IdentityProvider {
  readonly issuer: string
  close(): Promise<void>
}

const isPerson = (name: string | null): name is DemoPerson =>
  name !== null && Object.hasOwn(DEMO_PEOPLE, name)

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const page = (title: string, content: string): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)} · vgate demo</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;color:#1c2430;background:#f6f7f9}
h1{font-size:1.3rem}button{display:block;width:100%;margin:.6rem 0;padding:.7rem 1rem;font:inherit;text-align:left;
border:1px solid #c8ced8;border-radius:.5rem;background:#fff;cursor:pointer}button:hover,button:focus{border-color:#2456d6}
code{font-size:1.2rem;letter-spacing:.1em}small{color:#5b6676}input{font:inherit;padding:.4rem}
</style><h1>${escapeHtml(title)}</h1>${content}
<p><small>The demo's own identity provider. It runs on this machine and asks for no password.</small></p></html>`

const peoplePage = (): string =>
  page(
    'Who are you?',
    `<form method="post">${Object.entries(DEMO_PEOPLE)
      .map(
        ([name, person]) =>
          `<button name="login" value="${name}"><b>${name}</b><br><small>${escapeHtml(person.about)} · ${person.groups.join(', ')}</small></button>`,
      )
      .join('')}</form>`,
  )

function deviceFlow(): Readonly<Record<string, unknown>> {
  return {
    enabled: true,
    charset: 'base-20',
    mask: '****-****',
    userCodeInputSource: async (
      context: KoaContext,
      form: string,
      _out: unknown,
      error?: { message: string },
    ) => {
      const problem = error === undefined ? '' : `<p>${escapeHtml(error.message)}</p>`
      context.body = page(
        'Sign in to vgate',
        `${problem}${form}<button form="op.deviceInputForm">Continue</button>`,
      )
    },
    userCodeConfirmSource: async (
      context: KoaContext,
      form: string,
      _client: unknown,
      _info: unknown,
      code: string,
    ) => {
      context.body = page(
        'Is this the code in your terminal?',
        `<p><code>${escapeHtml(code)}</code></p>${form}<button autofocus form="op.deviceConfirmForm">Yes, continue</button>`,
      )
    },
    successSource: async (context: KoaContext) => {
      context.body = page('You are signed in', '<p>Go back to the terminal.</p>')
    },
  }
}

async function configuration(): Promise<Readonly<Record<string, unknown>>> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const key = { ...(await exportJWK(privateKey)), kid: 'demo-1', use: 'sig', alg: 'ES256' }
  const account = (subject: string): unknown =>
    isPerson(subject)
      ? {
          accountId: subject,
          claims: async () => ({
            sub: subject,
            name: subject,
            preferred_username: subject,
            email: DEMO_PEOPLE[subject].email,
            email_verified: true,
            groups: DEMO_PEOPLE[subject].groups,
          }),
        }
      : undefined
  return {
    clients: [
      {
        client_id: DEMO_CLIENT_ID,
        client_name: 'vgate',
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        redirect_uris: [],
        response_types: [],
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['demo'] },
    scopes: ['openid', 'offline_access', 'email', 'profile', GROUPS_SCOPE],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      [GROUPS_SCOPE]: ['groups'],
    },
    conformIdTokenClaims: false, // e-mail and groups in the ID token, though an access token is issued too
    features: {
      devInteractions: { enabled: false },
      deviceFlow: deviceFlow(),
      revocation: { enabled: true },
    },
    ttl: {
      DeviceCode: 300,
      Session: 3600,
      Interaction: 600,
      Grant: 86400,
      AccessToken: 600,
      IdToken: 600,
      RefreshToken: 86400,
    },
    rotateRefreshToken: true,
    issueRefreshToken: async (
      _context: unknown,
      client: { grantTypeAllowed(type: string): boolean },
    ) => client.grantTypeAllowed('refresh_token'),
    findAccount: async (_context: unknown, subject: string) => account(subject),
    interactions: {
      url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}`,
    },
  }
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > 4096) throw new RangeError('the form is too long')
    chunks.push(bytes)
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}

/** oidc-provider says on every start that it is new to this Node and uses development keys: true, and of no use here. */
async function withoutWarnings<T>(start: () => Promise<T>): Promise<T> {
  const { warn, info } = console
  const emitWarning = process.emitWarning
  console.warn = () => undefined
  console.info = () => undefined
  process.emitWarning = () => undefined
  try {
    return await start()
  } finally {
    console.warn = warn
    console.info = info
    process.emitWarning = emitWarning
  }
}

/** Starts the provider on 127.0.0.1 (port 0: any free one). */
export async function startIdentityProvider(port = 0): Promise<IdentityProvider> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const address = server.address()
  const issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  const provider = await withoutWarnings(async () => {
    const { Provider } = await import('oidc-provider')
    return new Provider(issuer, await configuration())
  })
  // Each login asks who it is: the browser that signed alice in signs bob in next, to approve what she asks for.
  provider.use(async (context, next) => {
    if (context.path === '/device' && context.method === 'GET') delete context.req.headers.cookie
    await next()
  })
  // Without `interval` a client polls every five seconds (RFC 8628 §3.2).
  provider.use(async (context, next) => {
    await next()
    const { body } = context
    if (
      context.path === '/device/auth' &&
      typeof body === 'object' &&
      body !== null &&
      'device_code' in body
    ) {
      context.body = { ...body, interval: 1 }
    }
  })
  const serve = provider.callback()

  async function interaction(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const details = await provider.interactionDetails(request, response)
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html; charset=utf-8').end(peoplePage())
      return
    }
    const login = (await formOf(request)).get('login')
    const finish = (result: Readonly<Record<string, unknown>>): Promise<void> =>
      provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
    if (!isPerson(login)) {
      await finish({ error: 'access_denied', error_description: 'nobody of that name' })
      return
    }
    const grant = new provider.Grant({
      accountId: login,
      clientId: String(details.params['client_id']),
    })
    grant.addOIDCScope(String(details.params['scope'] ?? 'openid'))
    await finish({ login: { accountId: login }, consent: { grantId: await grant.save() } })
  }

  server.on('request', (request, response) => {
    const answer = /^\/interaction\/[\w-]+$/.test(request.url ?? '')
      ? interaction(request, response)
      : serve(request, response)
    answer.catch((error: unknown) => {
      response.statusCode = 500
      response.end(
        page(
          'That did not work',
          `<p>${escapeHtml(error instanceof Error ? error.message : 'unknown')}</p>`,
        ),
      )
    })
  })
  return {
    issuer,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
