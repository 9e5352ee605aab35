// A copy of any size that never fills the disk.

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createCopy,
  KEEP_FREE_BYTES,
  LOOK_EVERY_BYTES,
  type PrivateCopy,
} from '../../../src/client/private-copy.js'

const part = Buffer.alloc(LOOK_EVERY_BYTES / 4)
let folder: string
let path: string
let copy: PrivateCopy | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vgate-copy-'))
  path = join(folder, 'copy')
})
afterEach(async () => {
  await copy?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('a private copy', () => {
  it('holds what was written, for its user alone', async () => {
    copy = await createCopy(path)
    for (let times = 0; times < 5; times += 1) await copy.write(part)
    expect(statSync(path)).toMatchObject({ size: 5 * part.length })
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('stops before the disk is full', async () => {
    let free = KEEP_FREE_BYTES + 2 * LOOK_EVERY_BYTES
    copy = await createCopy(path, async () => {
      free -= LOOK_EVERY_BYTES + 1
      return free
    })
    for (let times = 0; times < 7; times += 1) await copy.write(part)
    await expect(copy.write(part)).rejects.toMatchObject({
      code: 'VGATE_DISK_FULL',
      message: `there is too little room for the recording in ${folder}`,
      hint: expect.stringContaining('TMPDIR'),
    })
    expect(statSync(path).size).toBe(7 * part.length)
  })

  it('is not refused for a small disk when it is small', async () => {
    copy = await createCopy(path, async () => 0)
    await copy.write(Buffer.alloc(LOOK_EVERY_BYTES - 1))
    expect(statSync(path).size).toBe(LOOK_EVERY_BYTES - 1)
  })
})
