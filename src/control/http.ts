// Owns the API's manners: strict bodies, error answers, security headers. It must never answer with a detail that
// is not in the error table, nor read more of a body than its limit.

import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { z } from 'zod'
import { ERRORS, VgateError } from '../core/errors.js'
import type { VerifiedToken } from '../identity/tokens.js'

export const MAX_BODY_BYTES = 128 * 1024
const BODY_DEADLINE_MS = 10_000

export interface ControlEnv {
  Bindings: { readonly address: string }
  Variables: { caller: VerifiedToken }
}
export type ControlContext = Context<ControlEnv>

/** What browsers are told: this is no page of theirs. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** An error as the contract of core/api.ts shows it. Anything but a VgateError says nothing about itself. */
export function errorResponse(context: ControlContext, error: unknown): Response {
  const known = error instanceof VgateError
  const code = known ? error.code : 'VGATE_UNEXPECTED'
  const status = ERRORS[code].http
  if (status === 401) context.header('www-authenticate', 'Bearer realm="vgate"')
  const details = known && Object.keys(error.details).length > 0 ? { details: error.details } : {}
  const body = {
    code,
    message: known ? error.message : 'the gateway failed; its log says why',
    ...(known && error.hint !== undefined ? { hint: error.hint } : {}),
    ...details,
  }
  return context.json({ error: body }, status as ContentfulStatusCode)
}

async function readBody(request: Request): Promise<string> {
  const reader = request.body?.getReader()
  if (reader === undefined) return ''
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new VgateError('VGATE_USAGE', 'the body did not arrive in time')),
      BODY_DEADLINE_MS,
    )
  })
  try {
    const chunks: Uint8Array[] = []
    let size = 0
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      size += value.byteLength
      if (size > MAX_BODY_BYTES) {
        throw new VgateError('VGATE_USAGE', `the body is longer than ${MAX_BODY_BYTES} bytes`)
      }
      chunks.push(value)
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
  } catch (error) {
    reader.cancel().catch(() => undefined) // The caller is gone or refused; there is nothing to tell.
    if (error instanceof TypeError) throw new VgateError('VGATE_USAGE', 'the body is not UTF-8')
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** The body against its schema. Throws VGATE_USAGE naming the first member that does not fit, never its value. */
export async function readJson<T>(context: ControlContext, schema: z.ZodType<T>): Promise<T> {
  const type = context.req.header('content-type') ?? ''
  if (!/^application\/json(?:\s*;\s*charset="?utf-8"?)?$/i.test(type)) {
    throw new VgateError('VGATE_USAGE', 'the content type must be application/json')
  }
  const text = await readBody(context.req.raw)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new VgateError('VGATE_USAGE', 'the body is not JSON')
  }
  return fitting(schema, value, 'the body')
}

/** The query against its schema; a name given twice is refused. */
export function readQuery<T>(context: ControlContext, schema: z.ZodType<T>): T {
  const all = context.req.queries()
  for (const [name, values] of Object.entries(all)) {
    if (values.length > 1)
      throw new VgateError('VGATE_USAGE', `the query names ${shown(name)} twice`)
  }
  return fitting(schema, context.req.query(), 'the query')
}

function shown(name: string): string {
  return /^[\w.-]{1,40}$/.test(name) ? `"${name}"` : 'a member'
}

function fitting<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const name = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.')
  const where = name === undefined || name === '' ? what : `${shown(name)} of ${what}`
  const unknown = issue?.code === 'unrecognized_keys' ? 'is unknown' : 'does not fit'
  throw new VgateError('VGATE_USAGE', `${where} ${unknown}`, {
    hint: 'client and gateway may be of different versions',
  })
}
