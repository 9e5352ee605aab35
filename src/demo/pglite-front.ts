// Owns the demo database's TCP front on loopback: it makes one PGlite look like a small server. For the demo and smoke
// tests only: no cancel, no TLS, no concurrency, and temporary tables are seen by every connection.

import { createServer, type Socket } from 'node:net'
import type { Execute } from './pglite-backend.js'
import { SharedBackend } from './pglite-backend.js'
import { FrontConnection, type FrontOptions } from './pglite-connection.js'

export interface Front {
  readonly port: number
  /** Ends every connection and stops listening. */
  close(): Promise<void>
}

/** Listens on 127.0.0.1 (port 0: any free one) and serves `execute` to whoever knows the password. */
export async function startFront(
  execute: Execute,
  options: Omit<FrontOptions, 'maxQueuedBytes'> & {
    readonly port?: number
    readonly maxQueuedBytes?: number
  },
): Promise<Front> {
  const backend = new SharedBackend(execute)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    new FrontConnection(socket, backend, { maxQueuedBytes: 64 * 1024 * 1024, ...options })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
