// Owns a tunnel as an attacker would drive it: a real WebSocket with a real token, frames made by hand.

import { randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'
import { decodeFrame, encodeFrame, type FrameType, TYPE } from '../../src/tunnel/frame.js'
import { scramVerifierOf } from './gateway.js'
import type { Product } from './product.js'
import { storedLogin } from './stored-login.js'

export interface SeenFrame {
  readonly stream: number
  readonly type: FrameType
  readonly argument: number
  readonly payload: Buffer
}

export class RawTunnel {
  readonly socket: WebSocket
  readonly frames: SeenFrame[] = []
  readonly messages: Record<string, unknown>[] = []
  readonly closed: Promise<{ code: number; reason: string }>

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('message', (data: Buffer) => {
      const frame = decodeFrame(Buffer.from(data))
      this.frames.push(frame)
      if (frame.type === TYPE.CONTROL)
        this.messages.push(JSON.parse(frame.payload.toString()) as Record<string, unknown>)
    })
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    })
  }

  send(stream: number, type: number, argument = 0, payload?: Buffer): void {
    this.socket.send(encodeFrame(stream, type as FrameType, argument, payload))
  }

  control(message: unknown): void {
    this.send(0, TYPE.CONTROL, 0, Buffer.from(JSON.stringify(message)))
  }

  openSession(grant: string): void {
    const client = { version: 'test', platform: 'test', command: 'connect' }
    const secret = scramVerifierOf(randomBytes(12).toString('hex'))
    this.control({ type: 'open_session', grant, client, secret })
  }

  /** The next control message of this type; also one that has come already. */
  async message(type: string): Promise<Record<string, unknown>> {
    return await poll(() => this.messages.find((message) => message['type'] === type), type)
  }

  /** The first frame of this type on a stream. */
  async frame(stream: number, type: FrameType): Promise<SeenFrame> {
    const fits = (frame: SeenFrame): boolean => frame.stream === stream && frame.type === type
    return await poll(() => this.frames.find(fits), `frame ${type} on ${stream}`)
  }
}

async function poll<T>(look: () => T | undefined, what: string): Promise<T> {
  for (const until = Date.now() + 5_000; Date.now() < until; ) {
    const found = look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`there came no ${what}`)
}

/** Opens a WebSocket as this person. Rejects when the gateway refuses the upgrade. */
export async function openTunnel(product: Product, person: string): Promise<RawTunnel> {
  const url = `${product.url.replace('http', 'ws')}/v1/tunnel`
  const socket = new WebSocket(url, ['vgate.tunnel.v1'], {
    headers: { authorization: `Bearer ${storedLogin(product, person).accessToken}` },
    perMessageDeflate: false,
  })
  const tunnel = new RawTunnel(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve())
    socket.once('error', reject)
  })
  return tunnel
}

/** A grant of this person's own. */
export async function askGrant(product: Product, person: string, ttl = 600): Promise<string> {
  const answer = await fetch(`${product.url}/v1/grants`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${storedLogin(product, person).accessToken}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ target: 'prod-vectors', ttl_seconds: ttl }),
  })
  const body = (await answer.json()) as { grant: { id: string } }
  return body.grant.id
}
