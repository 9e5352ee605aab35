// Owns a thread that proves stretches of one recording, one after another, for whoever started it.

import { parentPort, workerData } from 'node:worker_threads'
import { openHeader } from './header.js'
import type { ScanDepth } from './scanner.js'
import { proveStretch, type Stretch } from './stretches.js'

/** What a thread is started with: the file stays open until the thread has ended. */
export interface ProvingFile {
  readonly fd: number
  readonly header: Uint8Array
  readonly depth: ScanDepth
}

const port = parentPort
if (port !== null) {
  const { fd, header: bytes, depth } = workerData as ProvingFile
  const header = openHeader(Buffer.from(bytes))
  port.on('message', (stretch: Stretch) => {
    const proved =
      typeof header === 'string' ? undefined : proveStretch({ fd, header, depth }, stretch)
    port.postMessage(proved)
  })
}
