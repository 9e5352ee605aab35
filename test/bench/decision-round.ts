// Owns measuring once what a decision costs: parse, classification against a real catalogue, the policy. A script for a
// process of its own, put together as the binary is. Takes the address of a database as JSON; prints one round's figures.

import pg from 'pg'
import type { Operation } from '../../src/core/operation.js'
import { isOperation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { compilePolicy } from '../../src/policy/compile.js'
import { loadPolicy } from '../../src/policy/schema.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { Decisions } from '../../src/proxy/decisions.js'
import type { DecisionRound } from './decision-page.js'

const POLICY = `
thresholds: { ids: 100, rows: 1000 }
roles:
  reader:
    allow: [{ access: read, collections: [docs, "products_*"] }]
    deny: [{ operations: [scroll], collections: [docs] }]
    mask:
      - { collections: [docs], fields: [email], with: redact }
      - { collections: [docs], vectors: drop, scores: { round: 2 } }
    limits: { rows: 1000 }
  writer: { allow: [{ access: write, collections: [docs] }] }
access:
  - { who: { group: people }, role: reader, targets: [prod-*] }
  - { who: { group: people }, role: writer, targets: [prod-*] }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export, drop] }, approval: { by: [corp:owners] } }
`
const PATH = ['public']
const WARM = 5_000
const ROUND_MS = 1_000
const FIRST = 20_000

const client = new pg.Client(JSON.parse(process.argv[2] ?? '{}') as pg.ClientConfig)
await client.connect()
const analyzer = createAnalyzer(PGVECTOR.product)
await analyzer.prepare()
const catalogue = await analyzer.loadCatalogue(async (text) => {
  const { rows } = await client.query<(string | null)[]>({
    text,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  })
  return rows
})
await client.end()

const policy = compilePolicy(loadPolicy(POLICY, 'policy.yaml'), {
  actions: PGVECTOR.actions,
  peopleProviders: ['corp'],
})
const asker = {
  principal: {
    id: 'usr_1',
    kind: 'person' as const,
    provider: 'corp',
    issuer: 'https://corp.example',
    subject: 'u1',
    name: 'alice',
    groups: ['corp:people'],
    claims: {},
  },
  roles: ['reader', 'writer'],
  target: 'prod-vectors',
}
const decisions = new Decisions()

function decide(text: string): Operation {
  const outcome = analyzer.parse(text)
  if (!outcome.ok) throw new Error(outcome.message)
  const [statement] = outcome.statements
  const operation = statement?.classify(catalogue, PATH, undefined).operation
  if (operation === undefined || !isOperation(operation))
    throw new Error(`not understood: ${operation?.reason}`)
  const { principal, roles, target } = asker
  const asked = { principal, roles, target, operation, phase: 'execute' } as const
  const { verdict } = decisions.decide(policy, asked)
  if (verdict !== 'permit') throw new Error(`${verdict}: ${text.slice(0, 80)}`)
  return operation
}

/** Microseconds of CPU for one call. */
function cost(calls: number, each: (index: number) => unknown): number {
  const before = process.cpuUsage()
  for (let index = 0; index < calls; index += 1) each(index)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

const small = (seed: number): string => `select id, title, email from docs where id = ${seed}`
const nearest = (seed: number): string =>
  `select id, title from docs where id > ${seed} order by embedding <-> $1 limit 10`
const LITERAL = `[${Array.from({ length: 1536 }, (_, at) => ((at * 104729) % 1000003) / 1000003).join(',')}]`
const inserted = (seed: number): string =>
  `insert into docs (id, title, embedding) values (${seed}, 'a title', '${LITERAL.slice(0, 17_000)}')`

for (let index = 0; index < WARM; index += 1) decide(small(-1 - index))
for (let index = 0; index < WARM / 10; index += 1) decide(inserted(-1 - index))
const repeated = small(1)
let calls = 0
const until = performance.now() + ROUND_MS
while (performance.now() < until) {
  for (let at = 0; at < 1000; at += 1) decide(repeated)
  calls += 1000
}
const round: DecisionRound = {
  repeated: cost(calls, () => decide(repeated)),
  firstSmall: cost(FIRST, (index) => decide(small(index))),
  firstSearch: cost(FIRST, (index) => decide(nearest(index))),
  firstLong: cost(FIRST / 10, (index) => decide(inserted(index))),
  longBytes: inserted(1).length,
}
process.stdout.write(JSON.stringify(round))
