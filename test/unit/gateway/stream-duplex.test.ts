import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { StreamDuplex } from '../../../src/gateway/stream-duplex.js'
import { makeSide, Sink, settle } from '../../support/mux-pair.js'

describe('StreamDuplex', () => {
  const pair = () => {
    let duplex: StreamDuplex | undefined
    const gateway = makeSide('gateway', 10, (stream) => {
      duplex = new StreamDuplex(stream)
    })
    const client = makeSide('client', 10, () => undefined)
    const sink = new Sink(true)
    const stream = client.mux.open('postgres', sink)
    sink.stream = stream
    settle(client, gateway)
    if (duplex === undefined) throw new Error('no stream')
    return { client, gateway, stream, sink, duplex }
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  it('gives everything to a client that has ended and reads late', async () => {
    const { client, gateway, stream, sink, duplex } = pair()
    duplex.resume()
    stream.end()
    settle(client, gateway)
    await turn()
    const sent = randomBytes(300_000)
    duplex.end(sent)
    await turn()
    let owed = 0
    for (let round = 0; round < 40 && !sink.ended; round += 1) {
      settle(client, gateway)
      const received = sink.bytes.length
      if (received > owed && !stream.over) stream.consumed(received - owed)
      owed = received
      settle(client, gateway)
      await turn()
    }
    expect(sink.bytes.equals(sent)).toBe(true)
    expect(sink.ended).toBe(true)
    expect(duplex.destroyed).toBe(true)
  })

  it('stops taking while the client has no credit to give', async () => {
    const { client, gateway, duplex } = pair()
    let written = 0
    while (duplex.write(Buffer.alloc(16_384)) && written < 4_000_000) written += 16_384
    settle(client, gateway)
    await turn()
    expect(written).toBeLessThan(1_000_000)
    expect(duplex.writableNeedDrain).toBe(true)
  })

  it('returns credit only for what was read', async () => {
    const { client, gateway, stream, duplex } = pair()
    duplex.pause()
    for (let round = 0; round < 30; round += 1) stream.write(Buffer.alloc(16_384))
    settle(client, gateway)
    await turn()
    expect(stream.pending).toBeGreaterThan(0)
    duplex.resume()
    for (let round = 0; round < 20; round += 1) {
      settle(client, gateway)
      await turn()
    }
    expect(stream.pending).toBe(0)
  })
})
