// Owns writing one recording: buffering, group commit, the chain, checkpoints, and what happens when the disk
// fails. It never rewrites what it has written, never overwrites a file, and never goes on after an error.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { Chain, type ChainPosition } from './chain.js'
import {
  encodeHeader,
  MAX_BLOCK_RECORDS,
  MAX_PAYLOAD_BYTES,
  type RecordingHeader,
} from './format.js'
import { GroupSync } from './group-sync.js'
import type { SigningKeyPair } from './keys.js'
import { attempt, nodeFs, type RecordingFs, unavailable, writeAll } from './recording-fs.js'
import type { RecordBody, RecordingHead } from './records.js'

/** A block is followed by a checkpoint when this many records are not yet signed for. */
const CHECKPOINT_RECORDS = 100
/** But not sooner after the last: under load signatures would cost more than hashes, for writer and verifier. */
const CHECKPOINT_SPACING_MS = 500
/** And by the caller's timer, `checkpoint()`, when records have waited this long. */
export const CHECKPOINT_MS = 2000
/** Kept free for the closing record and checkpoint. */
const RESERVE_BYTES = 16 * 1024
/** Above this a block is ended, so that what waits in memory stays small. */
const BLOCK_TARGET_BYTES = 1024 * 1024
const MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES - 1024

export const RECORDING_SUFFIX = '.vgr'
export const RESERVE_SUFFIX = '.vgr.reserve'
export const NEW_SUFFIX = '.vgr.new'

export interface OpenRecordingOptions {
  readonly directory: string
  readonly id: string
  readonly kind: RecordingHeader['kind']
  readonly key: SigningKeyPair
  readonly clock: Clock
  readonly fs?: RecordingFs
  /** Name of the file without its suffix; the id by default. */
  readonly name?: string
  /** For a file of the log: its number and the file before it. */
  readonly chain?: Pick<RecordingHeader, 'number' | 'previous'>
}

export interface Recording {
  readonly id: string
  readonly path: string
  /** Why nothing can be appended any more. */
  readonly failed: VgateError | undefined
  /** Records appended so far. */
  readonly records: number
  /** Hash of the last block written, in hex. */
  readonly head: string
  /** Bytes written. */
  readonly bytes: number
  /** True while records are written or wait that no checkpoint covers: call `checkpoint()` within CHECKPOINT_MS. */
  readonly unsigned: boolean
  /**
   * Buffers a record and gives its sequence number (from 1). It is not safe anywhere before `flush`.
   * Throws VGATE_RECORDING_UNAVAILABLE once the recording has failed or is closed, VGATE_LIMIT_EXCEEDED for a
   * record above 32 MiB, which leaves the recording intact.
   */
  append(body: RecordBody): number
  /** Hands everything appended to the operating system: it survives the death of the process. Throws as append does. */
  flush(): void
  /** Flush, then fdatasync; concurrent callers share one. Rejects as append throws. */
  sync(): Promise<void>
  /** Flush, sign what no checkpoint covers yet, and sync. */
  checkpoint(): Promise<void>
  /**
   * Appends a last record and the closing checkpoint, in the space kept for them if the disk is full. Records that
   * could not be written before are counted in it as `unwritten`. Rejects when even that fails; then the next
   * start recovers the file as incomplete.
   */
  close(body: RecordBody): Promise<RecordingHead>
}

/**
 * Opens a new recording: the file appears under its name complete with header and first checkpoint, or not at all.
 * Throws VGATE_RECORDING_UNAVAILABLE, also for an id that is already taken. A recording is never overwritten.
 */
export function openRecording(options: OpenRecordingOptions): Recording {
  return new RecordingFile(options)
}

class RecordingFile implements Recording {
  readonly id: string
  readonly path: string
  readonly #clock: Clock
  readonly #fs: RecordingFs
  readonly #reservePath: string
  readonly #chain: Chain
  readonly #fd: number
  readonly #reserveFd: number
  readonly #sync: GroupSync
  /** Undefined once the file's name is durable. */
  #directory: string | undefined
  #pending: string[] = []
  #pendingBytes = 0
  #offset = 0
  #failed: VgateError | undefined
  /** What is on disk is whole (the disk refused a write, not an fsync), so closing can be tried. */
  #closable = true
  #closed = false
  #signedAt: number
  #nowMs = Number.NaN
  #nowText = ''

  constructor(options: OpenRecordingOptions) {
    this.id = options.id
    this.#clock = options.clock
    this.#fs = options.fs ?? nodeFs
    this.#directory = options.directory
    const stem = join(options.directory, options.name ?? options.id)
    this.path = `${stem}${RECORDING_SUFFIX}`
    this.#reservePath = `${stem}${RESERVE_SUFFIX}`
    const { id, public: publicKey } = options.key.key
    const header: RecordingHeader = {
      kind: options.kind,
      id: options.id,
      created: this.#now(),
      key: { id, public: publicKey },
      ...options.chain,
    }
    this.#signedAt = this.#clock.now()
    const { bytes, hash } = encodeHeader(header)
    this.#chain = new Chain(options.id, options.key, hash)
    const whole = Buffer.concat([bytes, this.#chain.checkpoint('open', this.#now())])
    const opened = this.#create(options.directory, `${stem}${NEW_SUFFIX}`, whole)
    this.#fd = opened.fd
    this.#reserveFd = opened.reserveFd
    this.#sync = new GroupSync(() => this.#fs.dataSync(opened.fd))
  }

  get failed(): VgateError | undefined {
    return this.#failed
  }

  get records(): number {
    return this.#chain.position.records + this.#pending.length
  }

  get head(): string {
    return this.#chain.position.head.toString('hex')
  }

  get bytes(): number {
    return this.#offset
  }

  get unsigned(): boolean {
    return this.records > this.#chain.position.signed
  }

  append(body: RecordBody): number {
    this.#mustWork()
    const line = this.#line(body)
    // A UTF-16 unit is at most three bytes.
    if (line.length > MAX_RECORD_BYTES / 3 && Buffer.byteLength(line) > MAX_RECORD_BYTES) {
      throw new VgateError('VGATE_LIMIT_EXCEEDED', 'one record would be larger than 32 MiB', {
        hint: 'send the statement in smaller pieces',
      })
    }
    const full = this.#pending.length >= MAX_BLOCK_RECORDS
    if (full || this.#pendingBytes + line.length > BLOCK_TARGET_BYTES) this.flush()
    this.#pending.push(line)
    this.#pendingBytes += line.length
    return this.records
  }

  flush(): void {
    this.#mustWork()
    if (this.#pending.length === 0) return
    const before = this.#chain.position
    const block = this.#chain.records(this.#pending)
    this.#write(
      this.#isDue(before) ? Buffer.concat([block, this.#checkpointBlock()]) : block,
      before,
    )
    this.#pending = []
    this.#pendingBytes = 0
  }

  async sync(): Promise<void> {
    this.flush()
    await this.#durable()
  }

  async checkpoint(): Promise<void> {
    this.flush()
    const before = this.#chain.position
    if (before.records > before.signed) this.#write(this.#checkpointBlock(), before)
    await this.#durable()
  }

  async close(body: RecordBody): Promise<RecordingHead> {
    if (this.#closed) throw unavailable('the recording is already closed')
    // A full disk must not keep the recording from being closed in the space kept for it; #failed says so below.
    if (this.#failed === undefined) attempt(() => this.flush())
    this.#closed = true
    try {
      if (!this.#closable) throw this.#failed ?? unavailable('the recording has failed')
      if (this.#failed !== undefined) this.#fs.truncate(this.#reserveFd, 0)
      const unwritten = this.#pending.length
      const line = this.#line(unwritten === 0 ? body : { ...body, unwritten })
      const before = this.#chain.position
      const block = this.#chain.records([line])
      this.#write(Buffer.concat([block, this.#chain.checkpoint('closed', this.#now())]), before)
      this.#pending = []
      await this.#durable()
    } finally {
      await this.#sync.settled()
      this.#fs.close(this.#fd)
      this.#fs.close(this.#reserveFd)
    }
    // Last: while it is there the next start looks at the recording.
    attempt(() => this.#fs.unlink(this.#reservePath))
    return { records: this.records, head: this.head }
  }

  #isDue(before: ChainPosition): boolean {
    if (before.records === 0) return true
    const enough = this.#chain.position.records - before.signed >= CHECKPOINT_RECORDS
    // Either way: a wall clock that was set back must not put signing off.
    return enough && Math.abs(this.#clock.now() - this.#signedAt) >= CHECKPOINT_SPACING_MS
  }

  #checkpointBlock(): Buffer {
    this.#signedAt = this.#clock.now()
    return this.#chain.checkpoint('open', this.#now())
  }

  #now(): string {
    const now = this.#clock.now()
    if (now !== this.#nowMs) {
      this.#nowMs = now
      this.#nowText = new Date(now).toISOString()
    }
    return this.#nowText
  }

  #line(body: RecordBody | (RecordBody & { readonly unwritten: number })): string {
    // Not canonical: what is hashed are the stored bytes, and sorting members costs more than all the rest. A body has
    // members; to put one more before them in the text costs no copy of it.
    return `{"at":"${this.#now()}",${JSON.stringify(body).slice(1)}\n`
  }

  #mustWork(): void {
    if (this.#failed !== undefined) throw this.#failed
    if (this.#closed) throw unavailable('the recording is closed')
  }

  /** Writes what the chain made, or puts file and chain back to where they were and fails for good. */
  #write(bytes: Buffer, before: ChainPosition): void {
    try {
      writeAll(this.#fs, this.#fd, bytes, this.#offset)
      this.#offset += bytes.length
    } catch (cause) {
      this.#chain.position = before
      this.#failed = unavailable('the recording cannot be written', cause)
      // If this fails too a torn block stays behind; the next start cuts it off.
      if (!attempt(() => this.#fs.truncate(this.#fd, this.#offset))) this.#closable = false
      throw this.#failed
    }
  }

  async #durable(): Promise<void> {
    try {
      await this.#sync.upTo(() => this.#offset)
      if (this.#directory !== undefined) await this.#fs.syncDirectory(this.#directory)
      this.#directory = undefined
    } catch (cause) {
      // After a failed fsync nobody knows which pages reached the disk, so the end must not be signed as whole.
      this.#closable = false
      this.#failed ??= unavailable('the recording cannot be made durable', cause)
      throw this.#failed
    }
  }

  #create(
    directory: string,
    newPath: string,
    bytes: Buffer,
  ): { readonly fd: number; readonly reserveFd: number } {
    const opened: number[] = []
    const made: string[] = []
    const create = (path: string): number => {
      const fd = this.#fs.create(path)
      opened.push(fd)
      made.push(path)
      return fd
    }
    try {
      this.#fs.makeDirectory(directory)
      const reserveFd = create(this.#reservePath)
      // Random, because a file system that compresses would keep no space for zeros.
      writeAll(this.#fs, reserveFd, randomBytes(RESERVE_BYTES), 0)
      const fd = create(newPath)
      writeAll(this.#fs, fd, bytes, 0)
      this.#fs.link(newPath, this.path) // fails if the name is taken
      this.#fs.unlink(newPath)
      this.#offset = bytes.length
      return { fd, reserveFd }
    } catch (cause) {
      for (const fd of opened) attempt(() => this.#fs.close(fd))
      for (const path of made) attempt(() => this.#fs.unlink(path))
      throw unavailable(`the recording ${this.id} cannot be opened`, cause)
    }
  }
}
