// Owns proving as much of a large recording as can be proved by several threads at once. It reaches no verdict: what it
// cannot vouch for, and always the end of the file, is left to the one scan that does.

import type { FileHandle } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { builtFile } from '../core/place.js'
import { type ChainPosition, chainStart } from './chain.js'
import { HASH_BYTES, HEADER_PREFIX_BYTES, MAX_HEADER_JSON_BYTES } from './format.js'
import { headerJsonBytes, type OpenedHeader, openHeader } from './header.js'
import type { ScanDepth, ScanStart } from './scanner.js'
import { proveStretch, type Stretch, stretchesOf } from './stretches.js'
import type { ProvingFile } from './verify-worker.js'

const ENTRY = builtFile('audit/verify-worker.js')
/** Starting threads takes longer than verifying a smaller file. */
const LARGE_BYTES = 64 * 1024 * 1024
/** Takes some milliseconds: what is asked and answered does not count beside it. */
const STRETCH_BYTES = 2 * 1024 * 1024

/** Proves one stretch. */
export type Prove = (stretch: Stretch) => Promise<ChainPosition | undefined>

export interface AheadOptions {
  readonly depth: ScanDepth
  /** This one included. */
  readonly threads: number
}

/** How far the file is good from its begin on, as far as this can tell; undefined when one scan does as well. */
export async function proveAhead(
  file: FileHandle,
  { depth, threads }: AheadOptions,
): Promise<ScanStart | undefined> {
  const { size } = await file.stat()
  if (threads < 2 || size < LARGE_BYTES) return undefined
  const bytes = await headerOf(file)
  const header = bytes === undefined ? undefined : openHeader(bytes)
  if (bytes === undefined || header === undefined || typeof header === 'string') return undefined
  const { fd } = file
  const here: Prove = async (stretch) => {
    const end = proveStretch({ fd, header, depth }, stretch)
    await turn() // the others are to be answered
    return end
  }
  const others = Array.from(
    { length: threads - 1 },
    () => new ProvingThread({ fd, header: bytes, depth }),
  )
  try {
    // Two are asked of each of the others, so that they have something to do while this one is busy itself.
    const provers = others.flatMap((one): Prove[] => [one.prove, one.prove])
    return await provedBy([here, ...provers], { fd, header, offset: bytes.length, size })
  } finally {
    // Before the file is closed: its number may soon be another file's.
    await Promise.all(others.map((one) => one.close()))
  }
}

/** The same by these provers, each of which is asked for one stretch at a time. */
export async function provedBy(
  provers: readonly Prove[],
  file: {
    readonly fd: number
    readonly header: OpenedHeader
    /** Bytes of the header. */
    readonly offset: number
    readonly size: number
    readonly leastBytes?: number
  },
): Promise<ScanStart> {
  const { fd, header, offset, size, leastBytes = STRETCH_BYTES } = file
  const stretches = stretchesOf({ fd, header }, { offset, size, leastBytes })
  const found: { readonly stretch: Stretch; end: ChainPosition | undefined }[] = []
  let bad = false
  const takeTurns = async (prove: Prove): Promise<void> => {
    while (!bad) {
      const { value: stretch, done } = stretches.next()
      if (done === true) return
      const one: (typeof found)[number] = { stretch, end: undefined }
      found.push(one)
      one.end = await prove(stretch)
      bad ||= one.end === undefined
    }
  }
  await Promise.all(provers.map(takeTurns))
  let start: ScanStart = { header, position: chainStart(header.hash), offset }
  for (const { stretch, end } of found) {
    // Each was proved from where the guess said that the one before it ends.
    if (end === undefined || !isSame(stretch.position, start.position)) break
    start = { header, position: end, offset: stretch.to }
  }
  return start
}

function isSame(a: ChainPosition, b: ChainPosition): boolean {
  return (
    a.records === b.records &&
    a.signed === b.signed &&
    a.blocks === b.blocks &&
    Buffer.compare(a.head, b.head) === 0
  )
}

async function headerOf(file: FileHandle): Promise<Buffer | undefined> {
  const most = HEADER_PREFIX_BYTES + MAX_HEADER_JSON_BYTES + HASH_BYTES
  const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, 0)
  const jsonBytes = bytesRead < most ? '' : headerJsonBytes(buffer)
  if (typeof jsonBytes === 'string') return undefined
  return buffer.subarray(0, HEADER_PREFIX_BYTES + jsonBytes + HASH_BYTES)
}

/** Another thread, which answers in the order in which it is asked. */
class ProvingThread {
  readonly #worker: Worker
  #asked: ((end: ChainPosition | undefined) => void)[] = []
  #gone = false

  constructor(file: ProvingFile) {
    this.#worker = new Worker(ENTRY, { workerData: file })
    this.#worker.on('message', (end: ChainPosition | undefined) => this.#asked.shift()?.(end))
    // A thread that fails proves nothing; the scan of the rest says what there is to say.
    this.#worker.on('error', () => undefined)
    this.#worker.on('exit', () => {
      this.#gone = true
      for (const answer of this.#asked.splice(0)) answer(undefined)
    })
  }

  readonly prove: Prove = async (stretch) => {
    if (this.#gone) return undefined
    const end = await new Promise<ChainPosition | undefined>((resolve) => {
      this.#asked.push(resolve)
      this.#worker.postMessage(stretch)
    })
    return end === undefined ? undefined : { ...end, head: Buffer.from(end.head) }
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}
