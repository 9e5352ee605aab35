// Owns the few file operations that recordings need, behind a port, so that full disks and failing fsyncs can be
// tested.

import * as fs from 'node:fs'
import { VgateError } from '../core/errors.js'
import { isDiskFull } from '../core/system-error.js'

/** Synchronous but for the fsync, which may take long. All throw (or reject with) Node's system errors. */
export interface RecordingFs {
  /** Creates the folder with mode 0700 if it is missing. */
  makeDirectory(path: string): void
  /** Opens a new file for writing, mode 0600; EEXIST when it exists. */
  create(path: string): number
  /** Opens an existing file for reading and writing. */
  open(path: string): number
  /** Returns how many bytes were written, which may be fewer. */
  write(fd: number, bytes: Buffer, position: number): number
  truncate(fd: number, length: number): void
  dataSync(fd: number): Promise<void>
  close(fd: number): void
  /** A second name for a file; EEXIST when the name is taken. */
  link(from: string, to: string): void
  unlink(path: string): void
  /** Makes names in a folder durable. */
  syncDirectory(path: string): Promise<void>
}

/** The machine's file system. */
export const nodeFs: RecordingFs = {
  makeDirectory: (path) => {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 })
  },
  create: (path) => fs.openSync(path, 'wx', 0o600),
  open: (path) => fs.openSync(path, 'r+'),
  write: (fd, bytes, position) => fs.writeSync(fd, bytes, 0, bytes.length, position),
  truncate: (fd, length) => fs.ftruncateSync(fd, length),
  dataSync: (fd) =>
    new Promise((resolve, reject) => {
      fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
    }),
  close: (fd) => fs.closeSync(fd),
  link: (from, to) => fs.linkSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  syncDirectory: async (path) => {
    if (process.platform === 'win32') return // folders cannot be opened there
    const handle = await fs.promises.open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

/** Writes all of it; a write that makes no progress is an error. */
export function writeAll(fs: RecordingFs, fd: number, bytes: Buffer, position: number): void {
  let done = 0
  while (done < bytes.length) {
    const wrote = fs.write(fd, done === 0 ? bytes : bytes.subarray(done), position + done)
    if (wrote <= 0) throw new Error('the disk took no bytes')
    done += wrote
  }
}

/** Clearing up after a failure, where the failure itself is what gets reported. True when it worked. */
export function attempt(action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    // What is left behind is found by the next start.
    return false
  }
}

/** The error of every failing recording, with the system's code and never a path. */
export function unavailable(message: string, cause?: unknown): VgateError {
  const code =
    cause instanceof Error && 'code' in cause && typeof cause.code === 'string'
      ? cause.code
      : undefined
  const hint = isDiskFull(cause)
    ? "the gateway's disk is full: an administrator must free space; nothing runs unrecorded"
    : "nothing runs unrecorded: an administrator must look at the gateway's disk"
  const options = cause === undefined ? { hint } : { hint, cause }
  return new VgateError(
    'VGATE_RECORDING_UNAVAILABLE',
    code === undefined ? message : `${message} (${code})`,
    options,
  )
}
