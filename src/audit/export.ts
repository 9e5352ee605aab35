// Owns a recording as asciicast v2, for terminal players (docs.asciinema.org/manual/asciicast/v2). Text in it is
// neutralised by the renderer.

import { neutralize } from './neutralize.js'
import type { StoredRecord } from './records.js'
import { type RenderOptions, renderRecord } from './render.js'
import type { Told } from './story.js'

export interface CastOptions extends Omit<RenderOptions, 'startedAt'> {
  readonly height: number
  /** ISO 8601; the time of the first record by default. */
  readonly startedAt?: string
  readonly title?: string
  /** Pauses are cut to it. */
  readonly maxIdleMs?: number
  /** Times as fast as it was; 0 leaves no pauses. */
  readonly speed?: number
}

/** The lines of an asciicast; refused and held operations are markers, which players jump to. */
export async function* toAsciicast(
  records: AsyncIterable<Told>,
  options: CastOptions,
): AsyncGenerator<string> {
  let { startedAt } = options
  let last: number | undefined
  let shownMs = 0
  if (startedAt !== undefined) yield castHeader(options, startedAt)
  for await (const told of records) {
    const { record } = told
    if (startedAt === undefined) {
      startedAt = record.at
      yield castHeader(options, startedAt)
    }
    const at = Date.parse(record.at)
    // The wall clock may step back; what is shown never does.
    const gap = Math.max(0, at - (last ?? at)) || 0
    const { speed = 1, maxIdleMs = Number.MAX_SAFE_INTEGER } = options
    if (speed > 0) shownMs += Math.min(gap / speed, maxIdleMs)
    last = Number.isNaN(at) ? last : at
    const seconds = Math.round(shownMs) / 1000
    const marker = markerOf(record)
    if (marker !== undefined) yield castLine([seconds, 'm', marker])
    const text = renderRecord(told, { ...options, startedAt }).map((line) => `${line}\r\n`)
    yield castLine([seconds, 'o', text.join('')])
  }
  // An asciicast without its header is none, also where there is nothing to show.
  if (startedAt === undefined) yield castHeader(options, '')
}

function markerOf(record: StoredRecord): string | undefined {
  const { verdict, rule } = record
  if (verdict !== 'deny' && verdict !== 'hold') return undefined
  const named = typeof rule === 'string' ? rule : ''
  return neutralize(`${verdict === 'deny' ? 'denied' : 'held'}: ${named}`)
}

function castLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

function castHeader(options: CastOptions, startedAt: string): string {
  const { width, height, title } = options
  const timestamp = Math.floor((Date.parse(startedAt) || 0) / 1000)
  return castLine({
    version: 2,
    width,
    height,
    timestamp,
    ...(title === undefined ? {} : { title: neutralize(title) }),
  })
}
