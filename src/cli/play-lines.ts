// Owns playing a recording to stdout without a person at it: plain lines, NDJSON, or an asciicast. It waits for a slow
// reader: a recording may be larger than memory.

import { once } from 'node:events'
import { Chalk } from 'chalk'
import { toAsciicast } from '../audit/export.js'
import { renderRecord } from '../audit/render.js'
import type { Told } from '../audit/story.js'
import type { Environment } from '../client/state-dir.js'
import type { Output } from './output.js'
import { type Pace, paced } from './play.js'

/** Size of an asciicast where no terminal says one. */
const CAST = { width: 100, height: 40 }

/** One record after another, whole: as text, and under --json as events. */
export async function playLines(
  records: AsyncIterable<Told>,
  options: { readonly output: Output; readonly pace: Pace; readonly startedAt: string | undefined },
): Promise<void> {
  const { output, pace } = options
  let { startedAt } = options
  for await (const told of paced(records, pace)) {
    startedAt ??= told.record.at
    output.event(told.record.type, told.record)
    if (!output.json) {
      const shape = { width: Number.POSITIVE_INFINITY, color: output.dataColour, startedAt }
      output.data(renderRecord(told, shape).join('\n'))
    }
    await drained()
  }
}

/** An asciicast, coloured unless NO_COLOR says otherwise. */
export async function playCast(
  records: AsyncIterable<Told>,
  options: {
    readonly pace: Pace
    readonly title: string | undefined
    readonly startedAt: string | undefined
    readonly env: Environment
  },
): Promise<void> {
  const { pace, title, startedAt, env } = options
  const { columns, rows } = process.stdout
  const lines = toAsciicast(records, {
    width: Math.max(20, columns ?? CAST.width),
    height: rows ?? CAST.height,
    color: new Chalk({ level: (env['NO_COLOR'] ?? '') === '' ? 1 : 0 }),
    maxIdleMs: pace.idleMs,
    speed: pace.speed,
    ...(title === undefined ? {} : { title }),
    ...(startedAt === undefined ? {} : { startedAt }),
  })
  for await (const line of lines) {
    process.stdout.write(line)
    await drained()
  }
}

async function drained(): Promise<void> {
  if (process.stdout.writableNeedDrain)
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')])
}
