// Owns a recording file system that fails on demand: full disks, short writes, failing or slow fsyncs.

import { nodeFs, type RecordingFs } from '../../src/audit/recording-fs.js'

export interface FaultyFs extends RecordingFs {
  /** Bytes that may still be written to recordings; the reserve file gives its bytes back when it is truncated. */
  free: number
  failDataSync: boolean
  failTruncate: boolean
  dataSyncs: number
  /** Bytes of the file that the last whole fsync covered. */
  durableBytes: number
  /** While set, fsyncs wait for it. */
  gate: Promise<void> | undefined
}

export function faultyFs(): FaultyFs {
  const sizes = new Map<number, number>()
  const fs: FaultyFs = {
    ...nodeFs,
    free: Number.POSITIVE_INFINITY,
    failDataSync: false,
    failTruncate: false,
    dataSyncs: 0,
    durableBytes: 0,
    gate: undefined,
    write(fd, bytes, position) {
      if (fs.free <= 0) throw systemError('ENOSPC')
      const wrote = nodeFs.write(fd, bytes.subarray(0, Math.min(bytes.length, fs.free)), position)
      fs.free -= wrote
      sizes.set(fd, position + wrote)
      return wrote
    },
    truncate(fd, length) {
      if (fs.failTruncate) throw systemError('EIO')
      nodeFs.truncate(fd, length)
      fs.free += (sizes.get(fd) ?? length) - length
      sizes.set(fd, length)
    },
    async dataSync(fd) {
      fs.dataSyncs += 1
      const written = sizes.get(fd) ?? 0
      await fs.gate
      if (fs.failDataSync) throw systemError('EIO')
      await nodeFs.dataSync(fd)
      fs.durableBytes = written
    },
  }
  return fs
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code })
}
