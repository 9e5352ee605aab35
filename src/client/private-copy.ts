// Owns the private copy of something that is fetched and may be of any size: readable by its user alone, and never so
// large that it fills the disk.

import { open, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { VgateError } from '../core/errors.js'
import { isDiskFull } from '../core/system-error.js'

/** What is left to others on the disk. */
export const KEEP_FREE_BYTES = 256 * 1024 ** 2
/** So much is taken before the disk is looked at (again): what is small is not refused for a small disk. */
export const LOOK_EVERY_BYTES = 16 * 1024 ** 2

export interface PrivateCopy {
  /** Takes the next bytes, all of them. Rejects with VGATE_DISK_FULL, or Node's error. */
  write(part: Buffer): Promise<void>
  close(): Promise<void>
}

/** Creates the file, with mode 0600. Rejects with Node's error where it exists. `freeBytes` tells how much room there is. */
export async function createCopy(
  path: string,
  freeBytes: (folder: string) => Promise<number> = freeBytesIn,
): Promise<PrivateCopy> {
  const folder = dirname(path)
  const file = await open(path, 'wx', 0o600)
  let unseen = 0
  return {
    async write(part) {
      unseen += part.length
      if (unseen >= LOOK_EVERY_BYTES) {
        unseen = 0
        if ((await freeBytes(folder)) < KEEP_FREE_BYTES) throw diskFull(folder)
      }
      try {
        // Whole: a disk that is nearly full may take only some of it.
        await file.writeFile(part)
      } catch (cause) {
        throw isDiskFull(cause) ? diskFull(folder, cause) : cause
      }
    },
    close: () => file.close(),
  }
}

async function freeBytesIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

function diskFull(folder: string, cause?: unknown): VgateError {
  return new VgateError(
    'VGATE_DISK_FULL',
    `there is too little room for the recording in ${folder}`,
    {
      hint: 'set TMPDIR to a folder with more room, or play the file where it is: vgate replay PATH',
      cause,
    },
  )
}
