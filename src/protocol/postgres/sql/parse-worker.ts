// Owns parsing away from the event loop: a worker that answers one text with one outcome, as JSON text.

import { parentPort } from 'node:worker_threads'
import { loadParser, parseTree } from './parser.js'

const port = parentPort
if (port !== null) {
  port.on('message', async (input: unknown) => {
    await loadParser()
    port.postMessage(JSON.stringify(parseTree(typeof input === 'string' ? input : '')))
  })
}
