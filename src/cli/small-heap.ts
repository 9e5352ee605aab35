// Owns how V8 sizes the heap of a process that stays open. Must be asked for before the process has grown.

import { setFlagsFromString } from 'node:v8'

/**
 * Keeps V8's young generation at the size it begins with. By default it grows to 32 MiB as soon as bytes stream through,
 * and every chunk that waits there for its collection holds its bytes outside of the heap too: memory that buys nothing
 * where what is allocated is dead a millisecond later. Each collection is then small, and helpers would cost it more
 * than they save. Both flags are read at each collection, so they may be set while the process runs.
 */
export function keepYoungGenerationSmall(): void {
  setFlags()
  // The heap of a thread that begins puts the first of them back to what is usual, for the whole process.
  process.on('worker', (worker) => worker.once('online', setFlags))
}

function setFlags(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--no-parallel-scavenge')
}
