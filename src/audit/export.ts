// Owns a recording in other forms: NDJSON for programs, asciicast v2 for terminal players
// (docs.asciinema.org/manual/asciicast/v2). Text in an asciicast is neutralised by the renderer.

import type { StoredRecord } from './records.js'
import { type RenderOptions, renderRecord } from './render.js'

/** One line of JSON per record, LF at its end. JSON escapes what a terminal would act on. */
export function toNdjson(record: StoredRecord): string {
  const json = JSON.stringify(record)
  // JSON leaves DEL, C1 and directional characters as they are; escaped they are the same JSON.
  return `${json.replace(/[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, escaped)}\n`
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The lines of an asciicast; `maxIdleMs` shortens pauses. */
export async function* toAsciicast(
  records: AsyncIterable<StoredRecord>,
  options: Omit<RenderOptions, 'startedAt'> & {
    readonly height: number
    readonly title?: string
    readonly maxIdleMs?: number
  },
): AsyncGenerator<string> {
  let startedAt: string | undefined
  let last = 0
  let shownMs = 0
  for await (const record of records) {
    const at = Date.parse(record.at)
    if (startedAt === undefined) {
      startedAt = record.at
      last = at
      yield `${JSON.stringify(castHeader(options, at))}\n`
    }
    // The wall clock may step back; what is shown never does.
    shownMs += Math.min(Math.max(0, at - last) || 0, options.maxIdleMs ?? Number.MAX_SAFE_INTEGER)
    last = Number.isNaN(at) ? last : at
    const text = renderRecord(record, { ...options, startedAt }).map((line) => `${line}\r\n`)
    yield `${JSON.stringify([shownMs / 1000, 'o', text.join('')])}\n`
  }
}

function castHeader(
  options: { readonly width: number; readonly height: number; readonly title?: string },
  at: number,
): object {
  const { width, height, title } = options
  return {
    version: 2,
    width,
    height,
    timestamp: Math.floor((at || 0) / 1000),
    ...(title === undefined ? {} : { title }),
  }
}
