// Owns the tunnel's frame: eight bytes of header and at most 16 KiB of payload in one binary WebSocket message
// (docs/spec/tunnel-v1.md). Pure. Must never know what a payload means.

import { VgateError } from '../core/errors.js'

export const HEADER_BYTES = 8
export const MAX_PAYLOAD_BYTES = 16 * 1024
/** What a WebSocket must accept, and no more. */
export const MAX_MESSAGE_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES
/** TLS takes this much as one record (RFC 8446 §5.1). */
export const RECORD_BYTES = 16 * 1024
/**
 * What is sent as DATA at once, less than may be: with the header of the WebSocket (RFC 6455 §5.2: four bytes, and four
 * more of mask from a client) it is exactly one TLS record, where 12 bytes more would be two, and a copy to join them.
 */
export const DATA_BYTES = {
  client: RECORD_BYTES - HEADER_BYTES - 8,
  gateway: RECORD_BYTES - HEADER_BYTES - 4,
} as const
export const MAX_STREAM_ID = 0x7fff_ffff
export const MAX_ARGUMENT = 0xff_ffff
export const MAX_ENDPOINT_BYTES = 64
export const MAX_REASON_BYTES = 256

/** Frame types. Zero is never valid, so that a zeroed buffer is refused. */
export const TYPE = {
  CONTROL: 1,
  OPEN: 2,
  DATA: 3,
  CREDIT: 4,
  END: 5,
  RESET: 6,
  PING: 7,
  PONG: 8,
} as const
export type FrameType = (typeof TYPE)[keyof typeof TYPE]

/** Set in the argument of a CONTROL frame that is continued by the next one. */
export const CONTROL_MORE = 1

export interface Frame {
  readonly stream: number
  readonly type: FrameType
  readonly argument: number
  readonly payload: Buffer
}

interface Shape {
  readonly type: FrameType
  readonly name: string
  /** Lives on stream 0 and nowhere else. */
  readonly connection: boolean
  readonly argument: readonly [number, number]
  readonly payload: readonly [number, number]
}

const shape = (
  type: FrameType,
  name: string,
  connection: boolean,
  argument: readonly [number, number],
  payload: readonly [number, number],
): readonly [number, Shape] => [type, { type, name, connection, argument, payload }]

/** The only list of what each type may carry: argument and payload length, both inclusive. */
const SHAPES: ReadonlyMap<number, Shape> = new Map([
  shape(TYPE.CONTROL, 'CONTROL', true, [0, CONTROL_MORE], [1, MAX_PAYLOAD_BYTES]),
  shape(TYPE.OPEN, 'OPEN', false, [0, 0], [1, MAX_ENDPOINT_BYTES]),
  shape(TYPE.DATA, 'DATA', false, [0, 0], [1, MAX_PAYLOAD_BYTES]),
  shape(TYPE.CREDIT, 'CREDIT', false, [1, 256 * 1024], [0, 0]),
  shape(TYPE.END, 'END', false, [0, 0], [0, 0]),
  shape(TYPE.RESET, 'RESET', false, [1, 0xffff], [0, MAX_REASON_BYTES]),
  shape(TYPE.PING, 'PING', true, [0, MAX_ARGUMENT], [0, 0]),
  shape(TYPE.PONG, 'PONG', true, [0, MAX_ARGUMENT], [0, 0]),
])

/** The peer broke a rule of the tunnel: the WebSocket is closed with 1002. A class of its own, so that a violation of some protocol inside a stream is never taken for one. */
export class TunnelViolation extends VgateError {
  constructor(message: string) {
    super('VGATE_PROTOCOL_VIOLATION', `tunnel: ${message}`, {
      hint: 'client and gateway may be of different versions: update both',
    })
  }
}

/** A violation to throw. */
export function violation(message: string): TunnelViolation {
  return new TunnelViolation(message)
}

/** One frame as the message that carries it: stream (u32), type (u8), argument (u24), payload; big endian. */
export function encodeFrame(
  stream: number,
  type: FrameType,
  argument: number,
  payload?: Uint8Array,
): Buffer {
  const length = payload?.length ?? 0
  const message = Buffer.allocUnsafe(HEADER_BYTES + length)
  writeHeader(message, stream, type, argument)
  if (payload !== undefined) message.set(payload, HEADER_BYTES)
  return message
}

/** Writes the header into the first eight bytes. */
export function writeHeader(
  message: Buffer,
  stream: number,
  type: FrameType,
  argument: number,
): void {
  message.writeUInt32BE(stream, 0)
  message.writeUInt32BE(type * 0x100_0000 + argument, 4)
}

/**
 * Reads one message. The payload shares its memory. Throws VGATE_PROTOCOL_VIOLATION for a message that is too
 * short or too long, an unknown type, or a stream, argument or payload length that the type does not allow.
 */
export function decodeFrame(message: Buffer): Frame {
  if (message.length < HEADER_BYTES)
    throw violation(`a message of ${message.length} bytes is shorter than a header`)
  if (message.length > MAX_MESSAGE_BYTES)
    throw violation(`a message of ${message.length} bytes is longer than ${MAX_MESSAGE_BYTES}`)
  const stream = message.readUInt32BE(0)
  const word = message.readUInt32BE(4)
  const shape = SHAPES.get(word >>> 24)
  if (shape === undefined) throw violation(`unknown frame type ${word >>> 24}`)
  const argument = word & MAX_ARGUMENT
  const length = message.length - HEADER_BYTES
  if (stream > MAX_STREAM_ID) throw violation(`stream id ${stream} is out of range`)
  if (shape.connection !== (stream === 0)) throw violation(`${shape.name} on stream ${stream}`)
  if (argument < shape.argument[0] || argument > shape.argument[1])
    throw violation(`${shape.name} with argument ${argument}`)
  if (length < shape.payload[0] || length > shape.payload[1])
    throw violation(`${shape.name} with ${length} bytes of payload`)
  return { stream, type: shape.type, argument, payload: message.subarray(HEADER_BYTES) }
}
