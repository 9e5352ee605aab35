// Owns the demo database's own process: starts PGlite behind its front, says where it listens as one JSON line, and ends
// when it is told to or when the process that started it is gone. The password comes in the environment, never in argv.

import { openDemoDatabase } from './pglite-database.js'
import { startFront } from './pglite-front.js'

export const DEMO_USER = 'vgate'
export const DEMO_DATABASE = 'postgres'

const password = process.env['VGATE_DEMO_PASSWORD'] ?? ''
if (password === '') throw new Error('VGATE_DEMO_PASSWORD must be set')

const database = await openDemoDatabase()
const front = await startFront(database.execute, {
  username: DEMO_USER,
  password,
  databaseName: DEMO_DATABASE,
  port: Number(process.env['VGATE_DEMO_PORT'] ?? '0'),
})

let stopping = false
async function stop(): Promise<void> {
  if (stopping) return
  stopping = true
  await front.close()
  await database.close()
  process.exit(0)
}
process.on('SIGTERM', () => void stop())
process.on('SIGINT', () => undefined) // Ctrl-C reaches the whole group; the parent says when to stop
process.stdin.on('end', () => void stop()).resume()
process.stdout.write(`${JSON.stringify({ event: 'listening', port: front.port })}\n`)
