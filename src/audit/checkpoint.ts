// Owns the signed checkpoint: its text, in the form of a C2SP signed note (c2sp.org/signed-note) whose first three
// lines are those of a checkpoint (c2sp.org/tlog-checkpoint). Pure but for the key that is handed in.

import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { HASH_BYTES } from './format.js'
import type { SigningKeyPair } from './keys.js'

/** `closed` and `recovered` end a file. `recovered`: found open at a later start and closed there. */
export type CheckpointState = 'open' | 'closed' | 'recovered'

export interface Checkpoint {
  /** Id of the file. */
  readonly id: string
  /** Records before it. */
  readonly records: number
  /** Hash of the block before it, or of the header. */
  readonly head: Buffer
  /** Its own number among the blocks, from 0. */
  readonly block: number
  readonly state: CheckpointState
  /** ISO 8601, UTC. Information only. */
  readonly time: string
}

/** What every checkpoint begins with, followed by the file's id. */
export const CHECKPOINT_ORIGIN = 'vgate-recording-v1/'
/** Up to four more lines are signed with the rest and kept for later, such as an anchor in a log. */
const NOTE =
  /^vgate-recording-v1\/([a-z0-9_]{1,64})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\nblock (0|[1-9][0-9]{0,15})\nstate (open|closed|recovered)\ntime ([0-9TZ:.-]{20,30})\n(?:[a-z][a-z0-9-]{0,15} [!-~]{1,200}\n){0,4}$/
const SIGNATURE = /^— (vgate\/[0-9a-f]{16}) ([A-Za-z0-9+/]{91}=)\n$/

/** Raw 32 bytes of an Ed25519 public key as a key object. Throws for other lengths. */
export function publicKeyOf(raw: Uint8Array): KeyObject {
  if (raw.length !== 32) throw new RangeError('an Ed25519 public key has 32 bytes')
  // As a JWK (RFC 8037): read ten times as fast as DER, whose decoders OpenSSL looks for anew each time.
  const x = Buffer.from(raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/** Key id: first 16 hex digits of SHA-256 over the raw public key. */
export function keyIdOf(raw: Uint8Array): string {
  return createHash('sha256').update(raw).digest('hex').slice(0, 16)
}

/** The four bytes that a signed note puts before an Ed25519 signature (c2sp.org/signed-note, "Signatures"). */
function noteKeyHash(name: string, raw: Uint8Array): Buffer {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(Buffer.from([1]))
    .update(raw)
    .digest()
    .subarray(0, 4)
}

function noteText(checkpoint: Checkpoint): string {
  return (
    `${CHECKPOINT_ORIGIN}${checkpoint.id}\n${checkpoint.records}\n${checkpoint.head.toString('base64')}\n` +
    `block ${checkpoint.block}\nstate ${checkpoint.state}\ntime ${checkpoint.time}\n`
  )
}

/** Text, empty line, signature line: the payload of a checkpoint block. */
export function signCheckpoint(checkpoint: Checkpoint, pair: SigningKeyPair): Buffer {
  const text = noteText(checkpoint)
  const name = `vgate/${pair.key.id}`
  const hash = noteKeyHash(name, Buffer.from(pair.key.public, 'base64'))
  const signature = Buffer.concat([hash, pair.sign(Buffer.from(text, 'utf8'))])
  return Buffer.from(`${text}\n— ${name} ${signature.toString('base64')}\n`, 'utf8')
}

/** The key that a file names in its header, ready to check signatures. */
export interface CheckpointKey {
  readonly id: string
  readonly raw: Buffer
  readonly object: KeyObject
}

/**
 * Reads a checkpoint and checks its signature; a string says what is wrong. Only the one canonical spelling is
 * accepted, so that no byte of it can change unseen.
 */
export function openCheckpoint(payload: Buffer, key: CheckpointKey): Checkpoint | string {
  const whole = payload.toString('utf8')
  const split = whole.indexOf('\n\n')
  if (split < 0) return 'the checkpoint is malformed'
  const text = whole.slice(0, split + 1)
  const note = NOTE.exec(text)
  const line = SIGNATURE.exec(whole.slice(split + 2))
  const [, id, records, head64, block, state, time] = note ?? []
  const [, name, signature64] = line ?? []
  if (id === undefined || records === undefined || head64 === undefined || block === undefined) {
    return 'the checkpoint is malformed'
  }
  if (time === undefined || name === undefined || signature64 === undefined || !isState(state)) {
    return 'the checkpoint is malformed'
  }
  const signature = Buffer.from(signature64, 'base64')
  const head = Buffer.from(head64, 'base64')
  if (signature.length !== 68 || head.length !== HASH_BYTES) return 'the checkpoint is malformed'
  if (signature.toString('base64') !== signature64 || head.toString('base64') !== head64) {
    return 'the checkpoint is not in its one spelling'
  }
  if (name !== `vgate/${key.id}` || !signature.subarray(0, 4).equals(noteKeyHash(name, key.raw))) {
    return 'the checkpoint is signed by another key than the one in the header'
  }
  if (!verify(null, Buffer.from(text, 'utf8'), key.object, signature.subarray(4))) {
    return 'the signature of the checkpoint is wrong'
  }
  return { id, records: Number(records), head, block: Number(block), state, time }
}

function isState(text: string | undefined): text is CheckpointState {
  return text === 'open' || text === 'closed' || text === 'recovered'
}
