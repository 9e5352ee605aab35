// Owns the proof that writes are counted over time as one big write would be, and never less.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JudgeRequest } from '../../../src/core/adapter.js'
import type { CollectionUse } from '../../../src/core/operation.js'
import type { Recent } from '../../../src/policy/windows.js'
import { type Whose, WriteWindows } from '../../../src/proxy/write-windows.js'

const PER_MS = 60_000
const WHOSE: Whose = {
  principal: 'ana',
  target: 'prod',
  perMs: PER_MS,
  windows: { keepMs: PER_MS, ids: 100 },
}

interface Write {
  readonly action: string
  readonly collection?: string
  readonly count?: number
  readonly keys?: readonly string[]
  readonly field?: string
}

/** A request of one operation that writes so. */
function writes(...parts: readonly Write[]): JudgeRequest {
  const collections = parts.map(({ action, collection = 'docs', count, keys }): CollectionUse => {
    const kind = action === 'insert' || action === 'upsert' ? 'rows' : 'ids'
    const effect = { kind, count: count ?? keys?.length ?? 0 } as const
    return { collection, access: 'write', action, effect }
  })
  const entries = parts.flatMap(({ collection = 'docs', keys }) =>
    keys ? [[collection, keys]] : [],
  )
  const fields = parts.map(({ collection = 'docs', field = 'id' }) => [collection, field])
  const none = { fields: [], returns: { rows: 0, outputs: [] }, risks: [], functions: [], text: '' }
  return {
    phase: 'execute',
    operations: [{ name: parts[0]?.action ?? '', access: 'write', collections, ...none }],
    text: '',
    form: 'simple',
    keys: Object.fromEntries(entries),
    keyedBy: Object.fromEntries(fields),
  }
}

const deletes = (...keys: readonly string[]): JudgeRequest => writes({ action: 'delete', keys })

function world() {
  const clock = { at: 1_000 }
  const windows = new WriteWindows(() => clock.at)
  const run = (request: JudgeRequest, over: Partial<Whose> = {}): Recent[] => {
    const look = windows.look({ ...WHOSE, ...over }, request)
    look?.count()
    return [...(look?.recent.values() ?? [])]
  }
  const keys = (request: JudgeRequest, over: Partial<Whose> = {}): number =>
    run(request, over)[0]?.keys ?? -1
  return { clock, windows, run, keys }
}

describe('keys', () => {
  it('are counted once, however often they are written', () => {
    const { keys } = world()
    expect(keys(deletes('1', '2'))).toBe(2)
    expect(keys(deletes('2', '3', '3'))).toBe(3)
    expect(keys(deletes('1'))).toBe(3)
  })

  it('count only once they go on', () => {
    const { windows, keys } = world()
    expect(windows.look(WHOSE, deletes('1'))?.recent.size).toBe(1)
    expect(keys(deletes('2'))).toBe(1)
  })

  it('leave the window, each at its own time', () => {
    const { clock, keys, run } = world()
    keys(deletes('1'))
    clock.at += 40_000
    keys(deletes('2'))
    expect(run(deletes('3'))[0]).toMatchObject({ keys: 3, freesMs: 20_000 })
    clock.at += 20_000
    expect(run(deletes('2'))[0]).toMatchObject({ keys: 2, freesMs: 40_000 })
    clock.at += 60_000
    expect(keys(deletes('4'))).toBe(1)
  })

  it('count for whom, where and how they were written, over all sessions', () => {
    const { keys } = world()
    keys(deletes('1'))
    expect(keys(deletes('2'), { principal: 'bob' })).toBe(1)
    expect(keys(deletes('2'), { target: 'test' })).toBe(1)
    expect(keys(writes({ action: 'delete', collection: 'notes', keys: ['2'] }))).toBe(1)
    expect(keys(writes({ action: 'update', keys: ['2'] }))).toBe(1)
    expect(keys(deletes('2'))).toBe(2)
  })

  it('of two columns are not the same', () => {
    const { keys } = world()
    keys(deletes('1', '2'))
    expect(keys(writes({ action: 'delete', keys: ['1', '2'], field: 'code' }))).toBe(4)
  })

  it('without a name count each time', () => {
    const { keys } = world()
    const unnamed = writes({ action: 'delete', count: 3 })
    expect(keys(unnamed)).toBe(3)
    expect(keys(unnamed)).toBe(6)
    // Of these one is named; nobody knows what the others are.
    expect(keys(writes({ action: 'delete', count: 3, keys: ['1'] }))).toBe(9)
    // Which of two writes a key belongs to is not known.
    const two = writes({ action: 'delete', count: 1, keys: ['1'] }, { action: 'update', count: 1 })
    expect(keys(two)).toBe(10)
    expect(keys(writes({ action: 'delete', keys: ['1'], field: '' }))).toBe(11)
  })

  it('of a role with a shorter window are counted within it, among those of longer ones', () => {
    const { clock, keys } = world()
    const long = { windows: { keepMs: 600_000, ids: 100 } }
    keys(deletes('1'), { ...long, perMs: 600_000 })
    keys(writes({ action: 'delete', count: 5 }), { ...long, perMs: 600_000 })
    clock.at += 61_000
    expect(keys(deletes('2'), long)).toBe(1)
    expect(keys(deletes('1'), long)).toBe(2)
    expect(keys(deletes('3'), { ...long, perMs: 600_000 })).toBe(8)
  })
})

describe('rows', () => {
  it('of inserts and upserts add up; the keys of upserts are distinct', () => {
    const { run } = world()
    expect(run(writes({ action: 'insert', count: 400 }))[0]).toMatchObject({ keys: 0, rows: 400 })
    const upsert = writes({ action: 'upsert', count: 2, keys: ['a', 'b'] })
    expect(run(upsert)[0]).toMatchObject({ keys: 2, rows: 402 })
    expect(run(upsert)[0]).toMatchObject({ keys: 2, rows: 404 })
    const both = writes({ action: 'insert', count: 10 }, { action: 'upsert', count: 1 })
    expect(run(both)).toMatchObject([{ rows: 415 }, { keys: 3, rows: 415 }])
  })

  it('that nobody counted are bulk by themselves', () => {
    const { windows } = world()
    const request = writes({ action: 'delete', count: 1 })
    const [operation] = request.operations
    if (operation === undefined || !('access' in operation)) throw new Error('an operation')
    for (const effect of [{ kind: 'all' }, { kind: 'filter' }, { kind: 'none' }] as const) {
      const collections = operation.collections.map((use) => ({ ...use, effect }))
      const unknown = { ...request, operations: [{ ...operation, collections }] }
      expect(windows.look(WHOSE, unknown)).toBeUndefined()
    }
  })
})

describe('against every write that was made', () => {
  const step = fc.record({
    keys: fc.array(fc.integer({ min: 0, max: 40 }).map(String), { maxLength: 6 }),
    unnamed: fc.integer({ min: 0, max: 3 }),
    waits: fc.integer({ min: 0, max: 20_000 }),
  })

  it('never counts less, and counts exactly where all is named', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, keys } = world()
        const made: { readonly at: number; readonly key: string }[] = []
        for (const [index, { keys: named, unnamed, waits }] of steps.entries()) {
          clock.at += waits
          const count = named.length + unnamed
          const found = keys(writes({ action: 'delete', count, keys: named }))
          for (const key of named) made.push({ at: clock.at, key })
          for (let each = 0; each < unnamed; each += 1)
            made.push({ at: clock.at, key: `${index}/${each}` })
          const young = made.filter(({ at }) => at > clock.at - PER_MS)
          const exact = new Set(young.map(({ key }) => key)).size
          // What has no name may count a little longer, never shorter.
          expect(found).toBeGreaterThanOrEqual(exact)
          if (steps.every((one) => one.unnamed === 0)) expect(found).toBe(exact)
        }
      }),
      { seed: 20_261_122, numRuns: 300 },
    )
  })

  it('remembers no more than tells that it is bulk', () => {
    const { clock, keys } = world()
    let found = 0
    for (let key = 0; key < 1_000; key += 1) {
      clock.at += 1
      found = keys(deletes(`${key}`))
    }
    expect(found).toBe(102)
    expect(keys(deletes('999'))).toBe(101)
  })
})
