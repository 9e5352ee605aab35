// Owns the bytes of PostgreSQL's frontend messages for tests (PostgreSQL docs, "Message Formats"), well formed
// or not: a test may ask for anything.

/** A message as the corpus writes it. */
export interface MessageStep {
  readonly m: string
  readonly sql?: string | undefined
  readonly name?: string | undefined
  readonly oids?: readonly number[] | undefined
  readonly portal?: string | undefined
  readonly stmt?: string | undefined
  readonly params?: readonly (string | null)[] | undefined
  readonly pfmt?: readonly number[] | undefined
  readonly rfmt?: readonly number[] | undefined
  readonly kind?: string | undefined
  readonly max?: number | undefined
  readonly oid?: number | undefined
  readonly args?: readonly (string | null)[] | undefined
  readonly fmt?: number | undefined
  readonly data?: string | undefined
  readonly reason?: string | undefined
}

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8')

const int16s = (values: readonly number[]): Buffer =>
  Buffer.concat([int16(values.length), ...values.map(int16)])

const valuesOf = (values: readonly (string | null)[]): Buffer =>
  Buffer.concat([
    int16(values.length),
    ...values.map((value) => {
      if (value === null) return int32(-1)
      const bytes = Buffer.from(value, 'utf8')
      return Buffer.concat([int32(bytes.length), bytes])
    }),
  ])

/** One typed message: type byte, length, body. */
export function message(type: string, ...body: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(body)
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(whole.length + 4), whole])
}

/** A Query message whose text is given as bytes, so that it need not be UTF-8. */
export function queryOfBytes(bytes: Buffer): Buffer {
  return message('Q', bytes, Buffer.from([0]))
}

/** The bytes of one message of the corpus' language. */
export function encode(step: MessageStep): Buffer {
  switch (step.m) {
    case 'Q':
      return message('Q', text(step.sql ?? ''))
    case 'P': {
      const oids = step.oids ?? []
      return message(
        'P',
        text(step.name ?? ''),
        text(step.sql ?? ''),
        int16(oids.length),
        ...oids.map(int32),
      )
    }
    case 'B':
      return message(
        'B',
        text(step.portal ?? ''),
        text(step.stmt ?? ''),
        int16s(step.pfmt ?? []),
        valuesOf(step.params ?? []),
        int16s(step.rfmt ?? []),
      )
    case 'D':
    case 'C':
      return message(step.m, Buffer.from(step.kind ?? 'S', 'latin1'), text(step.name ?? ''))
    case 'E':
      return message('E', text(step.portal ?? ''), int32(step.max ?? 0))
    case 'S':
    case 'H':
    case 'c':
    case 'X':
      return message(step.m)
    case 'F':
      return message(
        'F',
        int32(step.oid ?? 0),
        int16s([step.fmt ?? 0]),
        valuesOf(step.args ?? []),
        int16(step.fmt ?? 0),
      )
    case 'd':
      return message('d', Buffer.from(step.data ?? '', 'utf8'))
    case 'f':
      return message('f', text(step.reason ?? 'failed'))
    default:
      throw new Error(`the corpus' language has no message ${step.m}`)
  }
}

export const PROTOCOL_3_0 = 196608
export const SSL_REQUEST = Buffer.concat([int32(8), int32(80877103)])
export const GSSENC_REQUEST = Buffer.concat([int32(8), int32(80877104)])

/** A StartupMessage; parameters are pairs, so that one may come twice. */
export function startup(
  parameters: readonly (readonly [string, string])[],
  protocol: number = PROTOCOL_3_0,
): Buffer {
  const body = Buffer.concat([
    int32(protocol),
    ...parameters.flatMap(([name, value]) => [text(name), text(value)]),
    Buffer.from([0]),
  ])
  return Buffer.concat([int32(body.length + 4), body])
}

/** A CancelRequest for a key as BackendKeyData gave it (process id, then the secret key). */
export function cancelRequest(key: Buffer): Buffer {
  const body = Buffer.concat([int32(80877102), key])
  return Buffer.concat([int32(body.length + 4), body])
}
