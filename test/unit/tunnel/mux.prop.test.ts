// Whatever is written in whatever pieces, moved in whatever order and read at whatever pace: the same bytes arrive, no
// window is exceeded, and a reader that stalls holds up nobody else.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MuxStream, WINDOW_BYTES } from '../../../src/tunnel/stream.js'
import { makeSide, move, Sink, settle } from '../../support/mux-pair.js'

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    stream: fc.nat(3),
    size: fc.integer({ min: 1, max: 150_000 }),
    up: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('move' as const),
    count: fc.integer({ min: 1, max: 30 }),
    up: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('consume' as const),
    stream: fc.nat(3),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    up: fc.boolean(),
  }),
)

const PERIOD = 251
const twice = Buffer.from(Array.from({ length: 2 * PERIOD }, (_, at) => at % PERIOD))

/** Bytes that tell where they stand in what was written. */
function fill(size: number, from: number): Buffer {
  const start = from % PERIOD
  return Buffer.alloc(size, twice.subarray(start, start + PERIOD))
}

/** One direction of one stream. */
class Lane {
  written = 0
  readonly sink: Sink
  readonly writer: MuxStream
  #given = 0

  constructor(writer: MuxStream, sink: Sink) {
    this.writer = writer
    this.sink = sink
  }

  write(size: number): void {
    this.writer.write(fill(size, this.written))
    this.written += size
  }

  get got(): number {
    return this.sink.parts.reduce((sum, part) => sum + part.length, 0)
  }

  consume(share: number): void {
    const bytes = Math.floor((this.got - this.#given) * share)
    this.#given += bytes
    if (bytes > 0) this.sink.stream?.consumed(bytes)
  }

  get unreturned(): number {
    return this.got - this.#given
  }
}

describe('any interleaving', () => {
  it('delivers the same bytes within the window', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const remote: Sink[] = []
        const client = makeSide('client', 0, () => {})
        const gateway = makeSide('gateway', 10, (stream) => {
          const sink = new Sink(true)
          sink.stream = stream
          stream.attach(sink)
          remote.push(sink)
        })
        const local = [0, 1, 2, 3].map(() => {
          const sink = new Sink(true)
          sink.stream = client.mux.open('postgres', sink)
          return sink
        })
        settle(client, gateway)
        const lanes = local.map((sink, index) => {
          const far = remote[index]
          if (far?.stream === undefined || sink.stream === undefined) throw new Error('not opened')
          return { up: new Lane(sink.stream, far), down: new Lane(far.stream, sink) }
        })
        const laneOf = (index: number, up: boolean): Lane => {
          const lane = lanes[index]?.[up ? 'up' : 'down']
          if (lane === undefined) throw new Error('no lane')
          return lane
        }
        for (const one of steps) {
          if (one.kind === 'write') laneOf(one.stream, one.up).write(one.size)
          if (one.kind === 'consume') laneOf(one.stream, one.up).consume(one.share)
          if (one.kind === 'move') {
            for (let count = 0; count < one.count; count += 1)
              one.up ? move(client, gateway) : move(gateway, client)
          }
          for (const { up, down } of lanes) {
            expect(Math.max(up.unreturned, down.unreturned)).toBeLessThanOrEqual(WINDOW_BYTES)
          }
        }
        for (let round = 0; round < 100; round += 1) {
          settle(client, gateway)
          for (const { up, down } of lanes) {
            up.consume(1)
            down.consume(1)
          }
        }
        for (const { up, down } of lanes) {
          expect(up.sink.bytes.equals(fill(up.written, 0))).toBe(true)
          expect(down.sink.bytes.equals(fill(down.written, 0))).toBe(true)
        }
        expect([...client.violations, ...gateway.violations]).toEqual([])
      }),
      { seed: 1, numRuns: 60 },
    )
  })

  it('lets every other stream through beside stalled ones', () => {
    fc.assert(
      fc.property(fc.nat(7), fc.integer({ min: 1, max: 400_000 }), (lucky, size) => {
        const remote: Sink[] = []
        const client = makeSide('client', 0, () => {})
        const gateway = makeSide('gateway', 10, (stream) => {
          const sink = new Sink(remote.length !== lucky)
          sink.stream = stream
          stream.attach(sink)
          remote.push(sink)
        })
        const streams = Array.from({ length: 8 }, () => client.mux.open('postgres', new Sink()))
        for (const stream of streams)
          stream.write(fill(stream.id === lucky * 2 + 1 ? size : 1_000_000, 0))
        settle(client, gateway)
        expect(remote[lucky]?.bytes.length).toBe(size)
        for (const [index, sink] of remote.entries()) {
          if (index !== lucky) expect(sink.bytes.length).toBe(WINDOW_BYTES)
        }
      }),
      { seed: 1, numRuns: 25 },
    )
  })
})
