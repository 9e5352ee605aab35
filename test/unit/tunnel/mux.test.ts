// The mux: streams, credit, order and violations, without I/O.

import { beforeEach, describe, expect, it } from 'vitest'
import { encodeFrame, type FrameType, TYPE } from '../../../src/tunnel/frame.js'
import { RESET, WINDOW_BYTES } from '../../../src/tunnel/stream.js'
import { makeSide, move, type Side, Sink, settle } from '../../support/mux-pair.js'

let client: Side
let gateway: Side
let sinks: Sink[]
let endpoints: string[]

beforeEach(() => {
  sinks = []
  endpoints = []
  client = makeSide('client', 0, () => {}, true)
  gateway = makeSide(
    'gateway',
    3,
    (stream) => {
      const sink = new Sink()
      sink.stream = stream
      sinks.push(sink)
      endpoints.push(stream.endpoint)
      stream.attach(sink)
    },
    true,
  )
})

function open(sink = new Sink()): { sink: Sink; stream: ReturnType<Side['mux']['open']> } {
  const stream = client.mux.open('postgres', sink)
  sink.stream = stream
  return { sink, stream }
}

const inject = (stream: number, type: FrameType, argument = 0, payload?: Buffer): void =>
  gateway.mux.receive(encodeFrame(stream, type, argument, payload))

describe('streams', () => {
  it('open with odd ids, carry bytes and half-close in both directions', () => {
    const { stream, sink } = open()
    expect(stream.write(Buffer.from('ask'))).toBe(true)
    stream.end()
    settle(client, gateway)
    expect(endpoints).toEqual(['postgres'])
    expect([sinks[0]?.bytes.toString(), sinks[0]?.ended]).toEqual(['ask', true])
    sinks[0]?.stream?.write(Buffer.from('answer'))
    sinks[0]?.stream?.end()
    settle(client, gateway)
    expect([sink.bytes.toString(), sink.ended, sink.resets]).toEqual(['answer', true, []])
    expect([stream.over, client.mux.size, gateway.mux.size]).toEqual([true, 0, 0])
    expect([sink.flushes, sinks[0]?.flushes]).toEqual([1, 1])
    expect(open().stream.id).toBe(3)
  })

  it('are reset by either side, once, and only the other one is told', () => {
    const { stream, sink } = open()
    settle(client, gateway)
    stream.reset(RESET.CANCELLED, 'gone')
    stream.reset(RESET.CANCELLED, 'again')
    settle(client, gateway)
    expect([sinks[0]?.resets, sink.resets]).toEqual([[[RESET.CANCELLED, 'gone']], []])
    expect([client.mux.size, gateway.mux.size]).toEqual([0, 0])
  })

  it('ignore what was on its way when they were reset', () => {
    const { stream } = open()
    settle(client, gateway)
    stream.write(Buffer.from('late'))
    stream.end()
    sinks[0]?.stream?.reset(RESET.ENDED, 'over')
    settle(client, gateway)
    expect([gateway.violations, client.violations, gateway.mux.size]).toEqual([[], [], 0])
  })

  it('above the limit are reset with LIMIT, and the tunnel goes on', () => {
    const all = [open(), open(), open(), open()]
    settle(client, gateway)
    expect(all.map(({ sink }) => sink.resets)).toEqual([
      [],
      [],
      [],
      [[RESET.LIMIT, 'more than 3 connections']],
    ])
    all[0]?.stream.reset(RESET.CANCELLED, '')
    settle(client, gateway)
    const another = open()
    another.stream.write(Buffer.from('x'))
    settle(client, gateway)
    expect([another.sink.resets, sinks[3]?.bytes.toString()]).toEqual([[], 'x'])
  })

  it('that the host does not take are refused', () => {
    const deaf = makeSide('gateway', 3, () => {})
    const { sink } = open()
    settle(client, deaf)
    expect(sink.resets).toEqual([[RESET.REFUSED, 'not accepted']])
  })

  it('whose handler throws are reset alone', () => {
    const { sink } = open()
    const other = open()
    settle(client, gateway)
    const first = sinks[0]
    if (first === undefined) return expect.fail('not opened')
    first.data = () => {
      throw new Error('broken')
    }
    sink.stream?.write(Buffer.from('x'))
    other.stream.write(Buffer.from('y'))
    settle(client, gateway)
    expect([sink.resets, sinks[1]?.bytes.toString(), gateway.violations]).toEqual([
      [[RESET.INTERNAL, 'internal error']],
      'y',
      [],
    ])
  })

  it('are all told when the channel is lost, and nothing is sent after', () => {
    const { sink, stream } = open()
    settle(client, gateway)
    client.mux.lost('cut')
    expect(sink.resets).toEqual([[RESET.LOST, 'cut']])
    stream.write(Buffer.from('x'))
    client.mux.sendControl({})
    expect(client.wire.queue).toEqual([])
    expect(() => client.mux.open('postgres', new Sink())).toThrow('tunnel: closed')
  })

  it.each([
    '',
    'Postgres',
    '1a',
    'a b',
    `a${'b'.repeat(64)}`,
    'a\n',
  ])('refuse the endpoint name %j', (name) => {
    expect(() => client.mux.open(name, new Sink())).toThrow('tunnel: not an endpoint name')
  })
})

describe('credit', () => {
  it('stops a sender at the window, and drain says when to go on', () => {
    const { stream } = open()
    settle(client, gateway)
    const far = sinks[0]
    if (far === undefined) return expect.fail('not opened')
    far.hold = true
    expect(stream.write(Buffer.alloc(WINDOW_BYTES + 200_000))).toBe(false)
    settle(client, gateway)
    expect([far.bytes.length, stream.pending]).toEqual([WINDOW_BYTES, 200_000])
    far.stream?.consumed(WINDOW_BYTES)
    settle(client, gateway)
    expect([far.bytes.length, stream.pending]).toEqual([WINDOW_BYTES + 200_000, 0])
    expect(far.stream?.owed).toBe(200_000)
  })

  it('comes back in portions of a quarter window', () => {
    const { stream } = open()
    settle(client, gateway)
    const far = sinks[0]
    if (far === undefined) return expect.fail('not opened')
    far.hold = true
    stream.write(Buffer.alloc(100_000))
    settle(client, gateway)
    far.stream?.consumed(65_535)
    expect(gateway.sent.filter((frame) => frame.type === TYPE.CREDIT)).toEqual([])
    far.stream?.consumed(1)
    expect(
      gateway.sent.filter((frame) => frame.type === TYPE.CREDIT).map((frame) => frame.argument),
    ).toEqual([65_536])
  })

  it('cannot be returned for what never came', () => {
    const { stream } = open()
    expect(() => stream.consumed(1)).toThrow('tunnel: consumed more than was received')
  })
})

describe('order', () => {
  it('sends control and small frames before large ones', () => {
    const large = open()
    const small = open()
    settle(client, gateway)
    large.stream.write(Buffer.alloc(600_000))
    const waiting = client.sent.length
    small.stream.write(Buffer.from('q'))
    client.mux.sendControl({ type: 'close_session' })
    // The socket is full: both wait, and go first as soon as it has room.
    expect(client.sent.length).toBe(waiting)
    move(client, gateway)
    const next = client.sent
      .slice(waiting)
      .map((frame) => frame.type === TYPE.CONTROL || frame.stream === small.stream.id)
    expect(next.slice(0, 2)).toEqual([true, true])
  })

  it('keeps at most 256 KiB and one frame in the socket', () => {
    const streams = [open(), open(), open()]
    for (const { stream } of streams) stream.write(Buffer.alloc(WINDOW_BYTES))
    settle(client, gateway)
    expect(client.wire.peak).toBeLessThanOrEqual(256 * 1024 + 16_392)
  })

  it('takes turns between large streams', () => {
    const streams = [open(), open()]
    settle(client, gateway)
    client.wire.bytes += 10_000_000 // the socket is full
    for (const { stream } of streams) stream.write(Buffer.alloc(WINDOW_BYTES))
    client.wire.bytes -= 10_000_000
    client.mux.drained()
    settle(client, gateway)
    const ids = client.sent.filter((frame) => frame.type === TYPE.DATA).map((frame) => frame.stream)
    expect(ids.slice(0, 6)).toEqual([1, 3, 1, 3, 1, 3])
  })

  it('does not starve a large stream behind small ones', () => {
    const large = open()
    const small = open()
    settle(client, gateway)
    client.wire.bytes += 10_000_000 // the socket is full
    large.stream.write(Buffer.alloc(20_000))
    const from = client.sent.length
    client.wire.bytes -= 10_000_000
    for (let count = 0; count < 40; count += 1) small.stream.write(Buffer.from('q'))
    expect(client.sent.slice(from).some((frame) => frame.stream === large.stream.id)).toBe(true)
  })
})

describe('control messages', () => {
  it('arrive whole, whatever their size up to the cap', () => {
    const message = { type: 'x', text: 'ä'.repeat(120_000) }
    client.mux.sendControl(message)
    settle(client, gateway)
    expect(gateway.controls).toEqual([message])
    expect(() => client.mux.sendControl({ text: 'a'.repeat(256 * 1024) })).toThrow(
      'tunnel: control message of',
    )
  })

  it('answer pings with the same argument', () => {
    client.mux.ping(0x1_234567)
    settle(client, gateway)
    expect(client.pongs).toEqual([0x234567])
  })
})

describe('violations close the tunnel and reset every stream', () => {
  const attacks: [string, () => void, string][] = [
    [
      'data above the window',
      () => {
        const first = sinks[0]
        if (first !== undefined) first.hold = true
        for (let count = 0; count < 17; count += 1) inject(1, TYPE.DATA, 0, Buffer.alloc(16_384))
      },
      'tunnel: stream 1 exceeds its window of 262144 bytes',
    ],
    [
      'credit for what was not sent',
      () => inject(1, TYPE.CREDIT, 1),
      'tunnel: CREDIT of 1 bytes on stream 1 exceeds what was sent',
    ],
    [
      'a frame for a stream never opened',
      () => inject(99, TYPE.DATA, 0, Buffer.from('x')),
      'tunnel: frame of type 3 for stream 99, which was never opened',
    ],
    [
      'a frame for a stream of ours never opened',
      () => inject(2, TYPE.END),
      'tunnel: frame of type 5 for stream 2, which was never opened',
    ],
    [
      'the same id again',
      () => inject(1, TYPE.OPEN, 0, Buffer.from('postgres')),
      'tunnel: OPEN of stream 1, which was opened before',
    ],
    [
      'an even id from the client',
      () => inject(4, TYPE.OPEN, 0, Buffer.from('postgres')),
      "tunnel: OPEN of stream 4, whose ids are not the peer's",
    ],
    [
      'an endpoint with a line break',
      () => inject(5, TYPE.OPEN, 0, Buffer.from('a\n')),
      'tunnel: OPEN of stream 5 with a bad endpoint name',
    ],
    [
      'data after end',
      () => {
        inject(1, TYPE.END)
        inject(1, TYPE.DATA, 0, Buffer.from('x'))
      },
      'tunnel: DATA after END on stream 1',
    ],
    [
      'a second end',
      () => {
        inject(1, TYPE.END)
        inject(1, TYPE.END)
      },
      'tunnel: second END on stream 1',
    ],
    [
      'an unknown type',
      () => gateway.mux.receive(Buffer.from('0000000109000000', 'hex')),
      'tunnel: unknown frame type 9',
    ],
    [
      'control that is not JSON',
      () => inject(0, TYPE.CONTROL, 0, Buffer.from('{')),
      'tunnel: a control message that is not JSON in UTF-8',
    ],
    [
      'control that is not UTF-8',
      () => inject(0, TYPE.CONTROL, 0, Buffer.from([0x22, 0xff, 0x22])),
      'tunnel: a control message that is not JSON in UTF-8',
    ],
    [
      'control with a BOM',
      () => inject(0, TYPE.CONTROL, 0, Buffer.from('\ufeff{}')),
      'tunnel: a control message that is not JSON in UTF-8',
    ],
    [
      'control in tiny fragments',
      () => inject(0, TYPE.CONTROL, 1, Buffer.from('{')),
      'tunnel: a continued CONTROL frame that is not full',
    ],
    [
      'control without an end',
      () => {
        for (let count = 0; count < 17; count += 1)
          inject(0, TYPE.CONTROL, 1, Buffer.alloc(16_384, 32))
      },
      'tunnel: control message longer than 262144 bytes',
    ],
    [
      'a reset whose reason is not UTF-8',
      () => inject(1, TYPE.RESET, 1, Buffer.from([0xff])),
      'tunnel: RESET with a reason that is not UTF-8',
    ],
    [
      'pings whose answers are not read',
      () => {
        for (let count = 0; count < 50_000; count += 1) inject(0, TYPE.PING, 1)
      },
      'tunnel: too many frames wait to be read',
    ],
    [
      'opens above the limit whose answers are not read',
      () => {
        for (let id = 3; id < 40_003; id += 2) inject(id, TYPE.OPEN, 0, Buffer.from('postgres'))
      },
      'tunnel: too many frames wait to be read',
    ],
  ]

  it.each(attacks)('%s', (_name, attack, message) => {
    open()
    settle(client, gateway)
    attack()
    expect(gateway.violations).toEqual([message])
    expect(gateway.mux.size).toBe(0)
    expect(sinks[0]?.resets.length).toBe(1)
    // Nothing that comes later counts.
    inject(1, TYPE.DATA, 0, Buffer.from('x'))
    expect(gateway.violations.length).toBe(1)
  })

  it('an OPEN by the gateway', () => {
    client.mux.receive(encodeFrame(2, TYPE.OPEN, 0, Buffer.from('postgres')))
    expect(client.violations).toEqual(['tunnel: OPEN from a side that may not open streams'])
  })
})
