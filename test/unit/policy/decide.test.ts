// The decision: order of rules, masks, bulk, limits, and what a refused caller is told.

import { expect, test } from 'vitest'
import { CATALOG, type Operation } from '../../../src/core/operation.js'
import { whom } from '../../../src/policy/decide.js'
import { ask, column, compile, field, operation, POLICY, person, short, use } from './fixture.js'

const select = (more: Partial<Operation> = {}): Operation =>
  operation('get', [use('docs', 'get')], { returns: { rows: 5, outputs: [] }, ...more })
/** Administering, of nothing in particular. */
const LOCK: Operation = {
  ...operation('drop_collection', []),
  access: 'admin',
  locks: ['pg_catalog.pg_advisory_lock(bigint)'],
}
const write = (
  action: string,
  effect: Operation['collections'][number]['effect'],
  collection = 'docs',
): Operation => operation(action, [use(collection, action, { access: 'write', effect })])

test.each<[string, string[], Operation, string]>([
  ['a read that a role allows', ['reader'], select(), 'permit roles.reader.allow[0]'],
  [
    'a glob',
    ['reader'],
    operation('get', [use('products_a', 'get')]),
    'permit roles.reader.allow[0]',
  ],
  [
    'a glob does not cross a schema',
    ['reader'],
    operation('get', [use('products_x.secret', 'get')]),
    'deny default deny',
  ],
  ['another collection', ['reader'], operation('get', [use('notes', 'get')]), 'deny default deny'],
  [
    'one of two collections',
    ['reader'],
    operation('get', [use('docs', 'get'), use('notes', 'get')]),
    'deny default deny',
  ],
  [
    'a write with a read role',
    ['reader'],
    write('delete', { kind: 'ids', count: 1 }),
    'deny default deny',
  ],
  ['no role', [], select(), 'deny default deny'],
  ['an unknown role', ['nobody'], select(), 'deny default deny'],
  [
    'a role deny',
    ['reader'],
    operation('scroll', [use('docs', 'scroll')]),
    'deny roles.reader.deny[0]',
  ],
  [
    'a role deny beats another role',
    ['owner', 'reader'],
    operation('scroll', [use('docs', 'scroll')]),
    'deny roles.reader.deny[0]',
  ],
  ['a deny beats a hold', ['owner'], write('truncate', { kind: 'all' }), 'deny deny[0]'],
  [
    'a hold beats an allow',
    ['owner'],
    write('delete_by_filter', { kind: 'filter' }),
    'hold holds.destructive',
  ],
  [
    'an excepted role',
    ['ingest'],
    write('delete_by_filter', { kind: 'filter' }),
    'permit roles.ingest.allow[0]',
  ],
  [
    'the exception does not reach further',
    ['ingest', 'owner'],
    write('delete_by_filter', { kind: 'filter' }, 'notes'),
    'hold holds.destructive',
  ],
  ['session control', ['reader'], operation('connect', []), 'permit built-in'],
  ['reading nothing', ['reader'], operation('get', [], { access: 'read' }), 'permit built-in'],
  [
    'admin without a collection',
    ['reader'],
    operation('flush', [], { access: 'admin' }),
    'deny default deny',
  ],
  ['admin beyond its collections', ['reader'], select({ access: 'admin' }), 'deny default deny'],
  [
    'admin without a collection, by an owner of everything',
    ['owner'],
    operation('flush', [], { access: 'admin' }),
    'permit roles.owner.allow[0]',
  ],
  ['the catalogue', ['ingest'], operation('get', [use(CATALOG, 'get')]), 'permit built-in'],
  [
    'writing the catalogue',
    ['owner'],
    operation('insert', [use(CATALOG, 'insert', { access: 'write' })]),
    'deny default deny',
  ],
  ['an unknown operation', ['owner'], operation('frobnicate', []), 'deny default deny'],
  [
    'an unknown action',
    ['owner'],
    operation('get', [use('docs', 'frobnicate')]),
    'deny default deny',
  ],
  [
    'a drop',
    ['owner'],
    operation('drop_collection', [use('docs', 'drop_collection', { access: 'admin' })], {
      risks: ['drop'],
    }),
    'hold holds.destructive',
  ],
  [
    'insert does not permit what it reads',
    ['ingest'],
    operation('insert', [use('docs', 'insert', { access: 'write' }), use('docs', 'get')]),
    'deny default deny',
  ],
  [
    'a function that is named',
    ['reader'],
    select({ functions: ['app.rank(text,int)'] }),
    'permit roles.reader.allow[0]',
  ],
  [
    'a function that is not',
    ['reader'],
    select({ functions: ['app.rank(text)'] }),
    'deny default deny',
  ],
  [
    'a function that is named, its types spaced otherwise',
    ['reader'],
    select({ functions: ['app.rank(text, int)'] }),
    'permit roles.reader.allow[0]',
  ],
  [
    'a function whose name has a space where the named one has none',
    ['reader'],
    select({ functions: ['app.ra nk(text,int)'] }),
    'deny default deny',
  ],
  ['an advisory lock', ['reader'], LOCK, 'deny default deny'],
  ['an advisory lock, for a writer', ['ingest'], LOCK, 'deny default deny'],
  ['an advisory lock, for an owner', ['owner'], LOCK, 'permit roles.owner.allow[0]'],
  [
    'an advisory lock that a role names',
    ['reader'],
    { ...LOCK, locks: ['app.rank(text,int)'] },
    'permit built-in',
  ],
  [
    'an advisory lock beside one that a role names',
    ['reader'],
    { ...LOCK, locks: ['app.rank(text,int)', 'pg_catalog.pg_advisory_lock(bigint)'] },
    'deny default deny',
  ],
  [
    'an advisory lock that a role names, of what it may not read',
    ['reader'],
    { ...LOCK, collections: [use('hidden', 'get')], locks: ['app.rank(text,int)'] },
    'deny default deny',
  ],
  [
    'a function, for an owner',
    ['owner'],
    select({ functions: ['app.rank(text,int)'] }),
    'deny default deny',
  ],
])('%s', (_name, roles, one, expected) => {
  expect(short(ask(roles, one))).toBe(expected)
})

test('a role that the policy no longer gives is refused, masks and all', () => {
  const decision = ask(['reader'], select(), { principal: person('corp:owners') })
  expect(decision).toMatchObject({
    verdict: 'deny',
    reason: 'default deny: the policy no longer gives you the role "reader" on prod-vectors',
  })
  expect(short(ask(['reader'], select(), { target: 'dev' }))).toBe('deny default deny')
})

test('a refusal says what, and whom to ask', () => {
  const one = write('delete', { kind: 'ids', count: 1 }, 'notes')
  const scientist = person('corp:data-science')
  expect(ask(['reader'], one, { principal: scientist })).toEqual({
    verdict: 'deny',
    rule: 'default deny',
    code: 'VGATE_DENIED',
    reason: 'default deny: no role of yours allows delete on "notes"',
    hint: 'the role owner would allow it; ask somebody of corp:owners',
  })
  expect(ask(['reader'], one, { principal: scientist, contact: 'data@example.org' })).toMatchObject(
    {
      hint: 'the role owner would allow it; ask data@example.org',
    },
  )
  expect(ask(['reader'], one)).toMatchObject({
    hint: 'your role owner would allow it: `vgate connect prod-vectors --role owner`',
  })
  expect(ask(['owner'], write('truncate', { kind: 'all' }))).toMatchObject({
    reason: 'truncate on "docs" is denied by deny[0]',
    hint: 'no role of the policy allows this on prod-vectors',
  })
  expect(ask(['owner'], operation('frobnicate', []))).toMatchObject({
    code: 'VGATE_OPERATION_UNKNOWN',
  })
  expect(whom(compile(POLICY), 'prod-vectors', one)).toEqual({
    roles: ['owner'],
    groups: ['corp:owners'],
  })
})

test('masked fields leave masked', () => {
  const decision = ask(
    ['reader'],
    select({
      fields: [
        field('id', 'output'),
        field('email', 'output'),
        field('ssn', 'output'),
        field('body', 'output'),
        field('embedding', 'score', true),
      ],
      returns: { rows: 5, outputs: [column('email'), column('embedding', true)] },
    }),
  )
  expect(decision).toMatchObject({
    verdict: 'permit',
    obligations: {
      record: 'text',
      masks: [
        {
          collection: 'docs',
          field: 'email',
          transforms: [{ kind: 'value', with: 'redact' }],
          scores: 'exact',
          rule: 'roles.reader.mask[0]',
        },
        {
          field: 'ssn',
          transforms: [{ kind: 'value', with: 'null' }],
          rule: 'roles.reader.mask[1]',
        },
        { field: 'body', transforms: [{ kind: 'detect', detectors: ['email'], with: 'partial' }] },
        {
          field: 'embedding',
          transforms: [{ kind: 'vector' }],
          scores: { round: 2 },
          rule: 'roles.reader.mask[3]',
        },
      ],
    },
  })
})

test('a path: the value under it, the value around it, and its neighbours', () => {
  const masks = (name: string) => {
    const decision = ask(['reader'], select({ fields: [field(name, 'output')] }))
    return decision.verdict === 'permit'
      ? decision.obligations.masks.map((one) => one.path ?? [])
      : decision.rule
  }
  expect(masks('meta.phone')).toEqual([[]])
  expect(masks('meta.phone.home')).toEqual([[]])
  expect(masks('meta')).toEqual([['phone']])
  expect(masks('meta.name')).toEqual([])
  expect(masks('metal')).toEqual([])
  expect(masks('*')).toBe('roles.reader.mask[1]')
})

test.each([
  ['email', 'equality', 'permit roles.reader.allow[0]'],
  ['ssn', 'equality', 'deny roles.reader.mask[1]'],
  ['email', 'predicate', 'deny roles.reader.mask[0]'],
  ['email', 'order', 'deny roles.reader.mask[0]'],
  ['email', 'group', 'deny roles.reader.mask[0]'],
  ['email', 'join', 'deny roles.reader.mask[0]'],
  ['email', 'derived', 'deny roles.reader.mask[0]'],
  ['email', 'copied', 'deny roles.reader.mask[0]'],
  ['email', 'score', 'deny roles.reader.mask[0]'],
  ['meta', 'derived', 'deny roles.reader.mask[0]'],
  ['email', 'written', 'permit roles.reader.allow[0]'],
  ['email', 'telepathy', 'deny roles.reader.mask[0]'],
  ['title', 'predicate', 'permit roles.reader.allow[0]'],
] as const)('a masked %s by %s', (name, how, expected) => {
  expect(short(ask(['reader'], select({ fields: [field(name, how as 'output')] })))).toBe(expected)
})

test.each([
  ['nearest', 'permit roles.reader.allow[0]'],
  ['predicate', 'deny roles.reader.mask[3]'],
  ['derived', 'deny roles.reader.mask[3]'],
  ['equality', 'deny roles.reader.mask[3]'],
  ['order', 'deny roles.reader.mask[3]'],
  ['cutoff', 'deny roles.reader.mask[3]'],
] as const)('a hidden embedding by %s', (how, expected) => {
  expect(short(ask(['reader'], select({ fields: [field('embedding', how, true)] })))).toBe(expected)
})

test.each([
  [{ at: 0.8 }, 'permit roles.reader.allow[0]'],
  [{ at: 'pending' }, 'permit roles.reader.allow[0]'],
  [{ at: -0.79999976, unit: 1.0000003 }, 'permit roles.reader.allow[0]'],
  [{ at: 0.803 }, 'deny roles.reader.mask[3]'],
  [{ at: 0.80002 }, 'deny roles.reader.mask[3]'],
  [{ at: 1e300 }, 'deny roles.reader.mask[3]'],
  [{ at: Number.NaN }, 'deny roles.reader.mask[3]'],
  [{}, 'deny roles.reader.mask[3]'],
] as const)('a distance that is cut off at %j', (cutoff, expected) => {
  const use = { ...field('embedding', 'cutoff', true), cutoff }
  expect(short(ask(['reader'], select({ fields: [use] })))).toBe(expected)
})

test('two equalities are a search', () => {
  const fields = [field('email', 'equality'), field('email', 'equality')]
  expect(ask(['reader'], select({ fields }))).toMatchObject({
    verdict: 'deny',
    rule: 'roles.reader.mask[0]',
    reason: 'get may not filter by "email" of "docs": it is masked by roles.reader.mask[0]',
  })
})

test('an output that the list of fields forgot is masked or refused all the same', () => {
  const outputs = [column('email')]
  expect(ask(['reader'], select({ returns: { rows: 1, outputs } }))).toMatchObject({
    obligations: { masks: [{ field: 'email' }] },
  })
  const derived = [
    {
      name: 'x',
      kind: 'derived' as const,
      sources: [{ collection: 'docs', field: 'ssn', vector: false }],
    },
  ]
  expect(short(ask(['reader'], select({ returns: { rows: 1, outputs: derived } })))).toBe(
    'deny roles.reader.mask[1]',
  )
})

test('several roles: the union of what they allow, the strictest of what they oblige', () => {
  const decision = ask(
    ['owner', 'reader'],
    operation('get', [use('docs', 'get'), use('notes', 'get')], {
      fields: [field('email', 'output')],
      returns: { rows: 'unbounded', outputs: [] },
    }),
  )
  expect(decision).toMatchObject({
    verdict: 'permit',
    rule: 'roles.owner.allow[0]',
    roles: ['owner', 'reader'],
    obligations: {
      record: 'metadata',
      masks: [{ field: 'email' }],
      rowLimit: { rows: 500, rule: 'roles.reader.limits.rows', because: 'limit' },
    },
  })
})

test.each<[string, Operation, string]>([
  ['100 keys', write('delete', { kind: 'ids', count: 100 }), 'permit'],
  ['101 keys', write('delete', { kind: 'ids', count: 101 }), 'hold'],
  ['a filter', write('delete', { kind: 'filter' }), 'hold'],
  ['an unknown number', write('update', { kind: 'unknown', reason: 'a function' }), 'hold'],
  ['rows that are no keys', write('update', { kind: 'rows', count: 1 }), 'hold'],
  ['a count that is no number', write('delete', { kind: 'ids', count: Number.NaN }), 'hold'],
  ['a mixed write', write('batch_write', { kind: 'filter' }), 'hold'],
  ['1,000 rows read', select({ returns: { rows: 1000, outputs: [] } }), 'permit'],
  ['1,001 rows read', select({ returns: { rows: 1001, outputs: [] } }), 'hold'],
  ['an export', operation('export', [use('docs', 'export')]), 'hold'],
])('bulk begins behind the thresholds: %s', (_name, one, verdict) => {
  expect(ask(['owner'], one).verdict).toBe(verdict)
})

test('bulk writes and overwrites', () => {
  const policy = compile(
    POLICY.replace('bulk-export, drop]', 'bulk-write, overwrite]').replace(
      ', except: [{ role: ingest }]',
      '',
    ),
  )
  const verdict = (action: string, rows: number) =>
    ask(['ingest'], write(action, { kind: 'rows', count: rows }), { policy }).verdict
  expect([verdict('insert', 1000), verdict('insert', 1001)]).toEqual(['permit', 'hold'])
  expect([verdict('upsert', 100), verdict('upsert', 101)]).toEqual(['permit', 'hold'])
})

test('a hold says what it holds', () => {
  expect(ask(['owner'], write('delete_by_filter', { kind: 'filter' }))).toMatchObject({
    reason:
      'delete_by_filter on "docs" (docs: whatever the filter matches) is held by holds.destructive: bulk-delete',
    risks: ['bulk-delete'],
  })
})

test('unbounded reads end at the smaller limit; the hold decides when they are equal', () => {
  const endless = select({ returns: { rows: 'unbounded', outputs: [] } })
  const limit = (source: string, roles = ['reader']) => {
    const decision = ask(roles, endless, { policy: compile(source) })
    return decision.verdict === 'permit' ? decision.obligations.rowLimit : decision.rule
  }
  expect(limit(POLICY)).toEqual({ rows: 500, rule: 'roles.reader.limits.rows', because: 'limit' })
  expect(limit(POLICY.replace('rows: 500', 'rows: 1000'))).toEqual({
    rows: 1000,
    rule: 'holds.destructive',
    because: 'hold',
  })
  expect(limit(POLICY.replace('rows: 500', 'rows: 2000'))).toEqual({
    rows: 1000,
    rule: 'holds.destructive',
    because: 'hold',
  })
  expect(limit(`thresholds: { rows: 7 }\n${POLICY}`)).toEqual({
    rows: 7,
    rule: 'holds.destructive',
    because: 'hold',
  })
  expect(limit(POLICY, ['owner'])).toEqual({
    rows: 1000,
    rule: 'holds.destructive',
    because: 'hold',
  })
  expect(limit(POLICY.replace('bulk-export, ', ''), ['owner'])).toBe(undefined)
  const denied = POLICY.replace('bulk-export, ', '').replace(
    'operations: [truncate]',
    'risk: [bulk-export]',
  )
  expect(limit(denied, ['owner'])).toEqual({ rows: 1000, rule: 'deny[0]', because: 'limit' })
})

test('a proven bound above the limit is limited too; the catalogue never is', () => {
  const decision = ask(['reader'], select({ returns: { rows: 501, outputs: [] } }))
  expect(decision).toMatchObject({ obligations: { rowLimit: { rows: 500 } } })
  const small = ask(['reader'], select({ returns: { rows: 500, outputs: [] } }))
  expect(small).not.toHaveProperty('obligations.rowLimit')
  const catalogue = ask(
    ['reader'],
    operation('get', [use(CATALOG, 'get')], { returns: { rows: 'unbounded', outputs: [] } }),
  )
  expect(catalogue).not.toHaveProperty('obligations.rowLimit')
})

test('what is only prepared: unknown parameters do not count against a deny yet, a hold is told', () => {
  const policy = compile(POLICY.replace('operations: [truncate]', 'risk: [bulk-delete]'))
  const one = write('delete', { kind: 'unknown', reason: 'parameters' })
  expect(ask(['owner'], one, { policy, phase: 'prepare' }).verdict).toBe('hold')
  expect(short(ask(['owner'], one, { policy }))).toBe('deny deny[0]')
  expect(
    short(ask(['owner'], write('delete', { kind: 'all' }), { policy, phase: 'prepare' })),
  ).toBe('deny deny[0]')
})

test('a deny on a broad rule leaves the catalogue readable; naming it does not', () => {
  const catalogue = operation('get', [use(CATALOG, 'get')])
  const broad = POLICY.replace('operations: [truncate]', 'access: read')
  expect(ask(['owner'], catalogue, { policy: compile(broad) }).verdict).toBe('permit')
  expect(short(ask(['owner'], select(), { policy: compile(broad) }))).toBe('deny deny[0]')
  const named = POLICY.replace('operations: [truncate]', 'collections: [$catalog]')
  expect(short(ask(['owner'], catalogue, { policy: compile(named) }))).toBe('deny deny[0]')
})

test('what the database says of a write is withheld where the caller may not see all of what it writes', () => {
  const insert = operation('insert', [use('docs', 'insert', { access: 'write' })])
  const allowed = 'operations: [upsert, insert, delete_by_filter]'
  const writer = POLICY.replace(allowed, 'access: write')
  const under = (policy: string) => ask(['ingest'], insert, { policy: compile(policy) })
  const hidden = { obligations: { hides: true } }
  expect(under(writer)).not.toHaveProperty('obligations.hides')
  expect(under(POLICY), 'no rule lets it read').toMatchObject(hidden)
  const masked = '}], mask: [{ collections: ["*"], fields: [ssn], with: redact }] }\n  owner'
  expect(under(writer.replace(/ }\] }\s+owner/, masked))).toMatchObject(hidden)
  const denied = writer.replace('operations: [truncate]', 'operations: [get]')
  expect(under(denied), 'reading is denied').toMatchObject(hidden)
})
