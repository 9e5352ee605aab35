// Owns a PostgreSQL client that asks for many rows and stops reading, in a process of its own, so that its memory is not
// the test's. Lines on stdout: `first` when data comes, `done BYTES` at the end. A line on stdin lets it go on.

import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import pg from 'pg'

const { at, text } = JSON.parse(process.argv[2] ?? '{}')
let bytes = 0
let socket
let stalled = false
const client = new pg.Client({
  ...at,
  types: { getTypeParser: () => (value) => value.length },
  stream: () => {
    socket = connect(at.port, at.host)
    const original = socket.connect.bind(socket)
    socket.connect = (...args) =>
      socket.connecting || socket.readyState === 'open' ? socket : original(...args)
    return socket
  },
})
void PassThrough
await client.connect()
const query = new pg.Query(text)
query.on('row', (row) => {
  bytes += Object.values(row)[0]
  if (stalled) return
  stalled = true
  socket.pause()
  process.stdout.write('first\n')
  process.stdin.once('data', () => socket.resume())
})
query.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
query.on('end', async () => {
  process.stdout.write(`done ${bytes}\n`)
  await client.end()
  process.exit(0)
})
client.query(query)
