// Owns bytes to an HTTP port, exactly as written: what no well-behaved client would send. Never used by the product.

import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  /** Everything that came, as latin1. */
  readonly text: string
  /** Status of the first answer; 0 when none came. */
  readonly status: number
  /** Number of answers. */
  readonly answers: number
  /** The peer closed (its side of) the connection in time. */
  readonly closed: boolean
}

/** A connection that is kept half open: its own side never closes by itself. */
export async function openRaw(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true })
  socket.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve())
    socket.once('error', reject)
  })
  return socket
}

/** Sends the bytes and gathers what comes until the peer closes, or for `waitMs`. */
export async function rawHttp(port: number, bytes: string, waitMs = 1_500): Promise<RawAnswer> {
  const socket = await openRaw(port)
  let text = ''
  let closed = false
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  const over = new Promise<void>((resolve) => {
    socket.once('end', () => resolve())
    socket.once('close', () => resolve())
  }).then(() => {
    closed = true
  })
  socket.write(bytes, 'latin1')
  await Promise.race([over, new Promise((resolve) => setTimeout(resolve, waitMs))])
  socket.destroy()
  return {
    text,
    closed,
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0),
    answers: text.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0,
  }
}

/** A request with these header lines. */
export function request(line: string, headers: readonly string[] = [], body = ''): string {
  return `${[`${line} HTTP/1.1`, ...headers].join('\r\n')}\r\n\r\n${body}`
}
