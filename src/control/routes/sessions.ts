// Owns the list of sessions and reading their recordings: one's own, or everybody's for auditors. Reading a
// recording is itself audited, before the first byte.

import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Hono } from 'hono'
import { z } from 'zod'
import { RECORDING_SUFFIX } from '../../audit/writer.js'
import { PATHS, type SessionRow } from '../../core/api.js'
import { VgateError } from '../../core/errors.js'
import { isId } from '../../core/ids.js'
import type { Principal } from '../../core/principal.js'
import type { SessionRecord } from '../../store/schema.js'
import { isAuditor } from '../callers.js'
import { type ControlDeps, isoTime, recordedPrincipal } from '../deps.js'
import { type ControlContext, type ControlEnv, readQuery } from '../http.js'

const listQuery = z.strictObject({
  target: z.string().max(200).optional(),
  since: z.iso.datetime().optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/)
    .transform(Number)
    .pipe(z.number().max(1000))
    .optional(),
})

/** A session as it is shown. */
export function sessionRowOf(record: SessionRecord): SessionRow {
  return {
    id: record.id,
    principal: { id: record.principal, name: record.principal_name, provider: record.provider },
    target: record.target,
    database: record.database,
    roles: JSON.parse(record.roles) as string[],
    ...(record.reason === null ? {} : { reason: record.reason }),
    started_at: isoTime(record.started_at),
    ...(record.ended_at === null ? {} : { ended_at: isoTime(record.ended_at) }),
    state: record.state,
    operations: record.operations,
    denied: record.denied,
    rows: record.rows,
  }
}

/** The same answer for what is unknown and for what is somebody else's. Throws VGATE_NOT_FOUND. */
export async function visibleSession(
  deps: ControlDeps,
  principal: Principal,
  id: string,
): Promise<SessionRecord> {
  const record = isId('ses', id) ? await deps.store.findSession(id) : undefined
  if (record !== undefined && (record.principal === principal.id || isAuditor(deps, principal)))
    return record
  throw new VgateError('VGATE_NOT_FOUND', 'there is no session of that id', {
    hint: 'see `vgate sessions list`',
  })
}

async function recordingResponse(context: ControlContext, deps: ControlDeps): Promise<Response> {
  const { principal } = context.get('caller')
  const { id } = await visibleSession(deps, principal, context.req.param('id') ?? '')
  let file: FileHandle
  try {
    file = await open(
      join(deps.recordings.directory, `${id}${RECORDING_SUFFIX}`),
      // A link planted there could name the gateway's keys.
      constants.O_RDONLY | constants.O_NOFOLLOW,
    )
  } catch {
    throw new VgateError('VGATE_NOT_FOUND', 'the recording of this session is not on this gateway')
  }
  try {
    await deps.audit.append(
      {
        type: 'recording.read',
        session: id,
        principal: recordedPrincipal(principal),
        how: 'download',
      },
      { sync: true },
    )
    // What is there now; a session that goes on adds to it.
    const { size } = await file.stat()
    context.header('content-type', 'application/octet-stream')
    context.header('content-disposition', `attachment; filename="${id}${RECORDING_SUFFIX}"`)
    context.header('content-length', String(size))
    // HEAD: nobody would read the stream, and the file would stay open.
    if (size === 0 || context.req.method === 'HEAD') {
      await file.close()
      return context.body(null)
    }
    const stream = Readable.toWeb(file.createReadStream({ start: 0, end: size - 1 }))
    return context.body(stream as ReadableStream<Uint8Array>)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Adds `GET /v1/sessions`, `/v1/sessions/{id}` and `/v1/sessions/{id}/recording`. */
export function addSessionRoutes(app: Hono<ControlEnv>, deps: ControlDeps): void {
  app.get(PATHS.sessions, async (context) => {
    const { principal } = context.get('caller')
    const { target, since, limit } = readQuery(context, listQuery)
    const records = await deps.store.listSessions({
      ...(isAuditor(deps, principal) ? {} : { principal: principal.id }),
      ...(target === undefined ? {} : { target }),
      ...(since === undefined ? {} : { since: Date.parse(since) }),
      limit: limit ?? 100,
    })
    return context.json({ sessions: records.map(sessionRowOf) })
  })
  app.get(`${PATHS.sessions}/:id`, async (context) => {
    const { principal } = context.get('caller')
    const record = await visibleSession(deps, principal, context.req.param('id'))
    return context.json({
      session: sessionRowOf(record),
      uses: await deps.store.sessionUses(record.id),
    })
  })
  app.get(`${PATHS.sessions}/:id/recording`, (context) => recordingResponse(context, deps))
}
