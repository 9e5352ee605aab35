// Owns a hostile database for tests: a relay in front of a real one that answers one chosen statement with an
// attack and passes everything else on.

import { connect, createServer, type Socket } from 'node:net'
import { message } from './raw-postgres-messages.js'

export interface TamperingRelay {
  readonly host: string
  readonly port: number
  /** How often the attack was sent. */
  readonly fired: number
  stop(): Promise<void>
}

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255])
const int32 = (value: number): Buffer => Buffer.from(new Int32Array([value]).buffer).reverse()
const ONE_COLUMN = message(
  'T',
  ...[int16(1), Buffer.from('a\0'), int32(0), int16(0), int32(23), int16(4), int32(-1), int16(0)],
)
const SELECT_DONE = Buffer.concat([
  message('C', Buffer.from('SELECT 1\0')),
  message('Z', Buffer.from('I')),
])
const HUGE = 100 * 1024 * 1024

/** What a hostile database sends, by the corpus' own words. */
const ATTACKS: Readonly<Record<string, () => Buffer>> = {
  'DataRow field length -2': () =>
    Buffer.concat([ONE_COLUMN, message('D', int16(1), int32(-2)), SELECT_DONE]),
  'CopyOutResponse to a SELECT': () =>
    Buffer.concat([
      message('H', Buffer.from([0]), int16(1), int16(0)),
      message('d', Buffer.from('900-55-4001\n')),
      message('c'),
      message('C', Buffer.from('COPY 1\0')),
      message('Z', Buffer.from('I')),
    ]),
  'NoticeResponse with 100 MiB text': () =>
    Buffer.concat([
      message('N', Buffer.from('SNOTICE\0C00000\0M'), Buffer.alloc(HUGE, 'A'), Buffer.from('\0\0')),
      ONE_COLUMN,
      message('D', int16(1), int32(1), Buffer.from('1')),
      SELECT_DONE,
    ]),
}

/** Starts a relay that sends `attack` instead of the first answer to `sql`. Throws for an attack it does not know. */
export async function startTampering(options: {
  readonly host: string
  readonly port: number
  readonly sql: string
  readonly attack: string
}): Promise<TamperingRelay> {
  const attack = ATTACKS[options.attack]
  if (!attack) throw new Error(`no attack called: ${options.attack}`)
  const needle = Buffer.from(`${options.sql}\0`)
  const sockets = new Set<Socket>()
  let fired = 0
  const server = createServer((near) => {
    const far = connect({ host: options.host, port: options.port })
    let armed = false
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {}) // the other side's end is all that it means here
      socket.on('close', () => {
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (chunk: Buffer) => {
      armed ||= fired === 0 && chunk.includes(needle)
      far.write(chunk)
    })
    far.on('data', (chunk: Buffer) => {
      if (!armed) return near.write(chunk)
      armed = false
      fired += 1
      return near.write(attack())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the relay has no port')
  return {
    host: '127.0.0.1',
    port: address.port,
    get fired() {
      return fired
    },
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
