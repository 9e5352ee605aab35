// Owns how the text behind a name is told beside the text that uses it: as comment lines before it, so that whoever
// reads a request or a recording sees what ran.

import type { JudgeRequest } from '../../core/adapter.js'

/** A request's text with nothing left out, for `record: full`. */
export type Whole = ReturnType<NonNullable<JudgeRequest['whole']>>

/** The text behind a name, then the one that uses it. */
export function told(behind: string, text: string): string {
  return `${behind.replace(/^/gm, '-- ')}\n${text}`
}

/** The same of whole texts, with the values that were bound to those behind names. */
export function toldWhole(behind: readonly Whole[], said: Whole): Whole {
  const texts = [...new Set(behind.map(withValues))]
  return { ...said, text: texts.reduceRight((text, each) => told(each, text), said.text) }
}

function withValues({ text, parameters = [] }: Whole): string {
  return [text, ...parameters.map((value, at) => `$${at + 1} = ${JSON.stringify(value)}`)].join(
    '\n',
  )
}
