// The policy's file under watch: every way in which files are replaced, and all or nothing.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { LogRecord } from '../../../src/audit/records.js'
import { VgateError } from '../../../src/core/errors.js'
import { reloadPolicy } from '../../../src/gateway/config-policy.js'
import { POLICY_POLL_MS, PolicyWatch } from '../../../src/gateway/policy-watch.js'

const policy = (collection: string): string =>
  `roles:\n  reader: { allow: [{ access: read, collections: [${collection}] }] }\n` +
  'access: [{ who: { group: corp:data }, role: reader, targets: [prod] }]\n'

let folder: string
let file: string
let watch: PolicyWatch
const audited: LogRecord[] = []
const logged: Readonly<Record<string, unknown>>[] = []
let changes = 0
let auditFails = false

beforeEach(() => {
  vi.useFakeTimers()
  folder = mkdtempSync(join(tmpdir(), 'vgate-policy-'))
  file = join(folder, 'policy.yaml')
})
afterEach(async () => {
  await watch.stop()
  vi.useRealTimers()
  rmSync(folder, { recursive: true, force: true })
  audited.length = 0
  logged.length = 0
  changes = 0
  auditFails = false
})

function begin(): void {
  const load = () =>
    reloadPolicy({
      policyFile: file,
      providers: [{ name: 'corp' }],
      targets: new Map([['prod', {}]]),
    } as never)
  watch = new PolicyWatch({
    file,
    initial: load(),
    load,
    audit: {
      append: async (body) => {
        if (auditFails) throw new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the log is full')
        audited.push(body)
      },
    },
    logger: { info: (fields) => logged.push(fields), error: (fields) => logged.push(fields) },
    changed: () => {
      changes += 1
    },
  })
  watch.start()
}

/** As many looks as a change needs: one that sees it, one that finds it at rest. */
const looks = async (count = 2): Promise<void> => {
  await vi.advanceTimersByTimeAsync(POLICY_POLL_MS * count)
}
const reads = (): string | undefined => watch.current().source.match(/collections: \[(\w+)\]/)?.[1]

describe('a policy under watch', () => {
  it('is quiet while nothing changes', async () => {
    writeFileSync(file, policy('docs'))
    begin()
    await looks(10)
    expect({ changes, audited, logged }).toEqual({ changes: 0, audited: [], logged: [] })
  })

  it.each([
    ['written in place', () => writeFileSync(file, policy('notes'))],
    [
      'replaced by rename, as editors do',
      () => {
        writeFileSync(`${file}.new`, policy('notes'))
        renameSync(`${file}.new`, file)
      },
    ],
    [
      'removed and written anew',
      () => {
        rmSync(file)
        writeFileSync(file, policy('notes'))
      },
    ],
  ])('is taken when it was %s', async (_how, change) => {
    writeFileSync(file, policy('docs'))
    begin()
    await looks()
    change()
    await looks()
    expect({ reads: reads(), changes }).toEqual({ reads: 'notes', changes: 1 })
    expect(audited).toEqual([{ type: 'policy.loaded', hash: watch.current().hash, file }])
  })

  it('is taken when the link to its folder is exchanged, as Kubernetes does', async () => {
    for (const version of ['docs', 'notes']) {
      mkdirSync(join(folder, version))
      writeFileSync(join(folder, version, 'policy.yaml'), policy(version))
    }
    symlinkSync('docs', join(folder, '..data'))
    symlinkSync('..data/policy.yaml', file)
    begin()
    await looks()
    symlinkSync('notes', join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    await looks()
    expect(reads()).toBe('notes')
  })

  it('is not read while it is being written', async () => {
    writeFileSync(file, policy('docs'))
    begin()
    await looks()
    // Each half is a policy of its own.
    for (const part of ['notes', 'salaries', 'notes_too']) {
      writeFileSync(file, policy(part))
      await looks(1)
    }
    expect({ reads: reads(), changes }).toEqual({ reads: 'docs', changes: 0 })
    await looks(1)
    expect({ reads: reads(), changes }).toEqual({ reads: 'notes_too', changes: 1 })
  })

  it.each([
    ['broken', 'roles: {}\naccess: [}\n', /policy\.yaml:2:/],
    ['misspelt', policy('docs').replace('access: read', 'acess: read'), /did you mean .+access/],
    [
      'for a role that is not there',
      policy('docs').replace('role: reader', 'role: raeder'),
      /raeder/,
    ],
    ['empty', '', /policy\.yaml/],
    ['gone', undefined, /policy\.yaml cannot be read/],
  ])('changes nothing when it is %s, and says so once', async (_what, text, issue) => {
    writeFileSync(file, policy('docs'))
    begin()
    await looks()
    const before = watch.current()
    if (text === undefined) rmSync(file)
    else writeFileSync(file, text)
    await looks(10)
    expect(watch.current()).toBe(before)
    expect(changes).toBe(0)
    expect(audited).toEqual([
      { type: 'policy.rejected', file, inForce: before.hash, issues: expect.any(Array) },
    ])
    expect(JSON.stringify(audited)).toMatch(issue)
    expect(logged).toMatchObject([{ event: 'policy.rejected', inForce: before.hash }])
    writeFileSync(file, policy('notes'))
    await looks()
    expect(reads()).toBe('notes')
  })

  it('is read at once when asked, and a policy that is the same is no change', async () => {
    writeFileSync(file, policy('docs'))
    begin()
    await watch.reload()
    expect(logged).toMatchObject([{ event: 'policy.unchanged' }])
    writeFileSync(file, policy('notes'))
    await watch.reload()
    expect({ reads: reads(), changes }).toEqual({ reads: 'notes', changes: 1 })
    await looks(5)
    expect({ changes, audited: audited.length }).toEqual({ changes: 1, audited: 1 })
  })

  it('does not count when the audit log cannot hold it', async () => {
    writeFileSync(file, policy('docs'))
    begin()
    auditFails = true
    writeFileSync(file, policy('notes'))
    await watch.reload()
    expect({ reads: reads(), changes }).toEqual({ reads: 'docs', changes: 0 })
    expect(logged).toMatchObject([
      { event: 'policy.rejected' },
      { event: 'policy.rejected_not_audited' },
    ])
  })

  it('is noticed when it changed between the start and the first look', async () => {
    writeFileSync(file, policy('docs'))
    begin()
    writeFileSync(file, policy('notes'))
    await looks()
    expect(reads()).toBe('notes')
  })
})
