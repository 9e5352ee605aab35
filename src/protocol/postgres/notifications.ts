// Owns what other sessions send over channels (NotificationResponse): each is judged, recorded and given, or dropped.
// Must never give one that the role does not name now, whatever was listened to before.

import type { AdapterContext } from '../../core/adapter.js'
import type { Operation } from '../../core/operation.js'
import { channelUse } from './channel.js'
import type { Judging } from './judging.js'
import type { Pipeline } from './pipeline.js'
import { Run } from './run.js'
import { OID } from './values.js'
import { BodyReader, i16, i32, message, violation } from './wire.js'

/** Notifications that may wait for their ruling; then one more of each channel, so that each has its ruling. */
const WAITING_MAX = 1000

const NAMES = ['channel', 'payload'] as const

/** Takes what comes over channels. */
export class Notifications {
  readonly #context: AdapterContext
  readonly #pipeline: Pipeline
  readonly #judging: Judging
  #waiting = 0
  /** Of each channel that something waits of, whether more came than may wait. Its ruling tells whether that is a loss. */
  readonly #channels = new Map<string, { waiting: number; lossy: boolean }>()

  constructor(context: AdapterContext, pipeline: Pipeline, judging: Judging) {
    this.#context = context
    this.#pipeline = pipeline
    this.#judging = judging
  }

  /** Throws where the message is malformed. */
  take(bytes: Buffer): void {
    const reader = new BodyReader(bytes)
    reader.int32()
    const values = [reader.cbytes(), reader.cbytes()]
    reader.done()
    const channel = String(values[0])
    const known = this.#channels.get(channel) ?? { waiting: 0, lossy: false }
    if (this.#waiting >= WAITING_MAX && known.waiting > 0) {
      known.lossy = true
      return
    }
    if (this.#waiting >= 2 * WAITING_MAX) throw violation('notifications of too many channels wait')
    this.#channels.set(channel, known)
    this.#waiting += 1
    known.waiting += 1
    const operation = operationOf(channel)
    // Without `exact` nobody can be asked for an approval: what a hold matches is refused.
    const request = {
      phase: 'execute',
      operations: [operation],
      text: operation.text,
      form: 'notification',
    } as const
    this.#judging.judge(request, (ruling, id) => {
      this.#waiting -= 1
      known.waiting -= 1
      if (known.waiting === 0) this.#channels.delete(channel)
      if (ruling.verdict === 'deny') return
      // What is not permitted may be dropped unjudged. What is, must not be missed.
      if (known.lossy) throw violation('too many notifications wait')
      const [obligations] = ruling.obligations
      if (obligations === undefined) throw new Error('a permit without obligations')
      const { masker } = this.#context
      const run = new Run(
        { request: id, index: 0 },
        operation,
        obligations,
        masker,
        this.#judging.catalogue,
        { operation },
      )
      run.describe(
        NAMES.map((name) => ({ name, table: 0, attribute: 0, type: OID.text, format: 0 })),
      )
      run.row(message('D', i16(2), ...values.flatMap((value) => [i32(value.length), value])))
      this.#pipeline.over(run, { tag: 'NOTIFY' })
      this.#pipeline.client.add(bytes)
    })
  }
}

function operationOf(channel: string): Operation {
  return {
    name: 'connect',
    access: 'none',
    collections: [],
    fields: [],
    returns: { rows: 1, outputs: NAMES.map((name) => ({ name, kind: 'derived', sources: [] })) },
    risks: [],
    functions: [channelUse('listen', channel)],
    text: `notification on ${JSON.stringify(channel)}`,
  }
}
