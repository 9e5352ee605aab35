// Owns finding recordings in a folder: by how they begin, and by their names, since the begin of one may be damaged.

import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MAGIC } from '../audit/format.js'
import { RECORDING_SUFFIX } from '../audit/writer.js'
import { VgateError } from '../core/errors.js'

/** The recordings at a path: itself when it is a file (whatever is in it), else those in the folder, sorted. Throws VGATE_NOT_FOUND. */
export async function recordingFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new VgateError('VGATE_NOT_FOUND', `there is no file ${path}`)
  if (!found.isDirectory()) return [path]
  const names = await readdir(path, { withFileTypes: true, recursive: true })
  const files: string[] = []
  for (const name of names) {
    const file = join(name.parentPath, name.name)
    if (!name.isFile()) continue
    if (file.endsWith(RECORDING_SUFFIX) || (await startsLikeRecording(file))) files.push(file)
  }
  if (files.length === 0)
    throw new VgateError('VGATE_NOT_FOUND', `there is no recording in ${path}`)
  return files.sort()
}

async function startsLikeRecording(file: string): Promise<boolean> {
  const handle = await open(file, 'r')
  try {
    const head = Buffer.alloc(MAGIC.length)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    return bytesRead === head.length && head.equals(MAGIC)
  } finally {
    await handle.close()
  }
}
