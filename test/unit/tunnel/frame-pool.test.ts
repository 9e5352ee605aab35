// Memory of full frames is used again only after the socket has taken it, and no frame is more than one TLS record.

import { describe, expect, it } from 'vitest'
import { bindMux, type MessageSocket } from '../../../src/tunnel/bind.js'
import { DATA_BYTES, decodeFrame, HEADER_BYTES, RECORD_BYTES } from '../../../src/tunnel/frame.js'
import { FramePool } from '../../../src/tunnel/frame-pool.js'
import { Sink } from '../../support/mux-pair.js'

/** A socket that takes what it is given when the test says so. */
function heldSocket() {
  const held: { message: Buffer; done: (error?: Error) => void }[] = []
  const socket: MessageSocket = {
    bufferedAmount: 0,
    readyState: 1,
    send: (message, _options, done) => void held.push({ message, done }),
    close: () => undefined,
    terminate: () => undefined,
    on: () => undefined,
  }
  return { socket, held }
}

const host = { opened: () => {}, control: () => {}, closed: () => {} }

describe('the memory of frames', () => {
  it('is not written again before the socket has taken it', () => {
    const { socket, held } = heldSocket()
    const mux = bindMux(socket, host, { side: 'client', maxStreams: 0, pool: new FramePool() })
    const stream = mux.open('postgres', new Sink())
    const letters = ['a', 'b', 'c', 'd']
    for (const letter of letters) stream.write(Buffer.alloc(DATA_BYTES.client, letter))
    const data = held.slice(1)
    expect(data.map(({ message }) => String(decodeFrame(message).payload[0]))).toEqual(
      letters.map((letter) => String(letter.charCodeAt(0))),
    )
    expect(new Set(data.map(({ message }) => message.buffer)).size).toBe(4)
    const first = data[0]?.message.buffer
    data[0]?.done()
    data[1]?.done(new Error('lost'))
    stream.write(Buffer.alloc(2 * DATA_BYTES.client, 'e'))
    const [again, fresh] = held.slice(5)
    expect(again?.message.buffer).toBe(first)
    expect(data.map(({ message }) => message.buffer)).not.toContain(fresh?.message.buffer)
    expect(again?.message.length).toBe(HEADER_BYTES + DATA_BYTES.client)
    expect(
      decodeFrame(data[1]?.message ?? Buffer.alloc(0)).payload.every((byte) => byte === 98),
    ).toBe(true)
  })

  it('is bounded, and small frames have their own', () => {
    const pool = new FramePool()
    const all = Array.from({ length: 100 }, () => pool.take(RECORD_BYTES))
    for (const one of all) pool.give(one)
    const again = Array.from({ length: 100 }, () => pool.take(RECORD_BYTES).buffer)
    const old = new Set(all.map((one) => one.buffer))
    expect(again.filter((one) => old.has(one))).toHaveLength(64)
    const small = pool.take(100)
    pool.give(small)
    expect(pool.take(RECORD_BYTES).buffer).not.toBe(small.buffer)
  })

  it.each([
    ['client', 4 + 4],
    ['gateway', 4],
  ] as const)('a full frame of a %s is one TLS record with the header of its WebSocket', (side, header) => {
    expect(header + HEADER_BYTES + DATA_BYTES[side]).toBe(16_384)
  })
})
