// Owns what a client sends while it copies in: every byte goes on, rows are counted and their keys handed to the run.

import type { Pipeline } from './pipeline.js'
import type { Run } from './run.js'
import { violation } from './wire.js'

/** One message of the client during COPY … FROM STDIN. Throws a violation for what may not come then. */
export function copyData(pipeline: Pipeline, type: string, bytes: Buffer): void {
  if (type === 'H' || type === 'S') return // the database ignores both during a copy
  if (!'dcf'.includes(type)) throw violation(`message type ${type} may not come during COPY`)
  pipeline.sendPlain(bytes)
  const run = copyingRun(pipeline)
  if (type === 'd') run?.uploaded(bytes)
  else {
    if (type === 'c') run?.uploadEnds()
    pipeline.copying = 'none'
  }
  if (run?.full === true) pipeline.record()
}

function copyingRun({ head }: Pipeline): Run | undefined {
  if (head?.kind === 'execute') return head.run
  return head?.kind === 'query' ? head.runs[head.at] : undefined
}
