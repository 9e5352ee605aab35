// Owns a WebSocket client that keeps no rule: bytes as they are written, frames as they are built. Never used by the product.

import type { Socket } from 'node:net'
import { openRaw } from './raw-http.js'

export interface RawFrame {
  readonly fin?: boolean
  readonly rsv?: number
  readonly opcode: number
  readonly masked?: boolean
  readonly payload?: Buffer
}

/** One frame (RFC 6455 §5.2), with payloads below 64 KiB. The mask is zero: the payload stands as it is. */
export function rawFrame({
  fin = true,
  rsv = 0,
  opcode,
  masked = true,
  payload,
}: RawFrame): Buffer {
  const bytes = payload ?? Buffer.alloc(0)
  const long = bytes.length > 125
  const head = Buffer.alloc(2 + (long ? 2 : 0) + (masked ? 4 : 0))
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  head[1] = (masked ? 0x80 : 0) | (long ? 126 : bytes.length)
  if (long) head.writeUInt16BE(bytes.length, 2)
  return Buffer.concat([head, bytes])
}

export interface RawWebSocket {
  readonly socket: Socket
  /** Bytes that came after the answer to the upgrade. */
  readonly received: () => Buffer
  /** Code and reason of the close frame that came, once the peer has closed or after `ms`. */
  closed(ms?: number): Promise<{ code: number; reason: string; gone: boolean }>
}

/** Upgrades with these header lines added; rejects with the answer when it is not 101. */
export async function openRawWebSocket(
  port: number,
  headers: readonly string[] = ['Sec-WebSocket-Protocol: vgate.tunnel.v1'],
): Promise<RawWebSocket> {
  const socket = await openRaw(port)
  const parts: Buffer[] = []
  let head: string | undefined
  let gone = false
  socket.on('close', () => {
    gone = true
  })
  socket.on('end', () => {
    gone = true
  })
  const upgraded = new Promise<void>((resolve, reject) => {
    socket.on('data', (bytes: Buffer) => {
      parts.push(bytes)
      if (head !== undefined) return
      const all = Buffer.concat(parts)
      const end = all.indexOf('\r\n\r\n')
      if (end === -1) return
      head = all.subarray(0, end).toString('latin1')
      parts.splice(0, parts.length, all.subarray(end + 4))
      if (head.startsWith('HTTP/1.1 101 ')) resolve()
      else reject(new Error(all.toString('latin1')))
    })
    socket.once('close', () => reject(new Error('closed')))
  })
  socket.write(
    [
      'GET /v1/tunnel HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      'Authorization: Bearer token',
      ...headers,
      '',
      '',
    ].join('\r\n'),
    'latin1',
  )
  await upgraded
  return {
    socket,
    received: () => Buffer.concat(parts),
    closed: async (ms = 10_000) => {
      for (const until = Date.now() + ms; !gone && Date.now() < until; )
        await new Promise((resolve) => setTimeout(resolve, 10))
      socket.destroy()
      return { ...closeFrameIn(Buffer.concat(parts)), gone }
    },
  }
}

function closeFrameIn(bytes: Buffer): { code: number; reason: string } {
  for (let at = 0; at + 2 <= bytes.length; ) {
    const opcode = (bytes[at] ?? 0) & 0x0f
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short
    const from = at + (short === 126 ? 4 : 2)
    if (opcode === 8)
      return {
        code: bytes.readUInt16BE(from),
        reason: bytes.toString('utf8', from + 2, from + length),
      }
    at = from + length
  }
  return { code: 0, reason: '' }
}
