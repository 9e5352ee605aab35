// Owns the files of a running demo: the gateway's configuration and policy, and what a second terminal needs.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageRoot } from './documents.js'
import { embedPhrase, vectorLiteral } from './embed.js'
import { DEMO_CLIENT_ID } from './identity-provider.js'
import { PIPELINE_AUDIENCE } from './workload-issuer.js'

export const DEMO_TARGET = 'demo-docs'
/** Its nearest documents hold addresses in their text, which shows the masks. */
export const DEMO_PHRASE = 'how to block spam from a mail address'

export interface DemoPlaces {
  readonly folder: string
  readonly issuer: string
  /** Of the tokens that a pipeline shows. */
  readonly platform: string
  readonly databasePort: number
  readonly databaseName: string
  readonly databaseUser: string
  readonly gatewayPort: number
}

const configuration = (
  places: DemoPlaces,
): string => `# Written by \`npm run demo\`, anew each time.
gateway:
  listen: 127.0.0.1:${places.gatewayPort}
  data: ./data
  administrators: [{ group: data-owners }]
  auditors: [{ group: data-owners }]
identity:
  providers:
    demo:
      type: oidc
      issuer: ${places.issuer}
      clientId: ${DEMO_CLIENT_ID}
      scopes: [openid, offline_access, email, groups]
      groupsClaim: groups
      nameClaim: email
    pipeline: { type: workload, issuer: "${places.platform}", audience: ${PIPELINE_AUDIENCE} }
targets:
  ${DEMO_TARGET}:
    database: pgvector
    address: postgres://127.0.0.1:${places.databasePort}/${places.databaseName}
    credential: { username: ${places.databaseUser}, password: env:VGATE_DEMO_PASSWORD }
    contact: bob (data-owners)
policy: file:policy.yaml
`

export const DEMO_POLICY = `# Written by \`npm run demo\`, anew each time.
thresholds: { ids: 100, rows: 1000, per: 60s }
roles:
  reader:                       # alice
    allow:
      - { access: read, collections: [docs, notes] }
      - { access: write, collections: [labels] }
    mask:
      - { collections: [docs], fields: [email], with: redact }
      - { collections: [docs], fields: [body], detect: [email, phone], with: redact }
      - { collections: [docs], vectors: drop, scores: { round: 2 } }
    limits: { rows: 1000 }
  owner:                        # bob
    allow:
      - { access: admin, collections: ["*"] }
  contractor:                   # carol
    allow:
      - { access: read, collections: [notes, archive] }
    limits: { rows: 10 }
  ingest:                       # the pipeline
    allow:
      - { operations: [insert], collections: [labels] }
access:
  - { who: { group: data-science }, role: reader, targets: [demo-*], grant: { default: 1h, max: 8h } }
  - { who: { group: data-owners }, role: owner, targets: [demo-*], grant: { default: 30m, max: 1h } }
  - { who: { group: contractors }, role: contractor, targets: [demo-*], grant: { default: 30m, max: 30m } }
  - { who: { provider: pipeline, claims: { repository: acme/labels, ref: refs/heads/main } }, role: ingest, targets: [demo-*], grant: { max: 30m }, owner: demo:bob@example.org, until: 2099-01-01 }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export, drop, index-rebuild] }, approval: { by: [data-owners], count: 1, expires: 15m } }
`

const nearestSql = (): string => `-- The five documents nearest to: ${DEMO_PHRASE}
SELECT id, subject, email, body, embedding,
       embedding <=> '${vectorLiteral(embedPhrase(DEMO_PHRASE))}' AS distance
FROM docs
ORDER BY embedding <=> '${vectorLiteral(embedPhrase(DEMO_PHRASE))}'
LIMIT 5;
`

const importPg = (): string =>
  `import pg from ${JSON.stringify(pathToFileURL(path.join(packageRoot, 'node_modules/pg/esm/index.mjs')).href)}`

/** A small client: a phrase of your own against the address in the environment. */
const nearestScript = (): string => `// node nearest.mjs "a phrase of your own"
${importPg()}
import { embedPhrase, vectorLiteral } from ${JSON.stringify(pathToFileURL(path.join(packageRoot, 'dist/demo/embed.js')).href)}

const [phrase = ${JSON.stringify(DEMO_PHRASE)}] = process.argv.slice(2)
const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
const { rows } = await client.query(
  'SELECT id, subject, email, body, embedding, embedding <=> $1 AS distance FROM docs ORDER BY embedding <=> $1 LIMIT 5',
  [vectorLiteral(embedPhrase(phrase))],
)
for (const row of rows) console.log({ ...row, body: row.body?.slice(0, 200) })
await client.end()
`

/** A job: it adds a label and tries to read them, with the environment that `vgate exec` gives it. */
const ingestScript =
  (): string => `// VGATE_TOKEN="$(ci_token)" vgate exec ${DEMO_TARGET} -- node ingest.mjs
${importPg()}
const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
const attempt = async (text) => {
  try {
    const { command, rowCount } = await client.query(text)
    console.log(\`\${command} \${rowCount}\`)
  } catch (error) {
    console.log(\`ERROR \${error.code}: \${error.message}\`)
  }
}
await attempt("INSERT INTO labels (doc, label, source) VALUES (1, 'question', 'pipeline')")
await attempt('SELECT label FROM labels LIMIT 1')
await client.end()
`

/** What makes a second terminal talk to the demo, as one of its people, and leave the user's own state alone. */
export function commandEnvironment(
  folder: string,
  gateway: string,
  person = 'you',
): Readonly<Record<string, string>> {
  return {
    VGATE_CONFIG_DIR: path.join(folder, person),
    VGATE_GATEWAY: gateway,
    VGATE_TOKEN_STORE: 'file',
  }
}

/** Makes the folder anew, readable by its owner alone. */
export function makeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
}

const put = (folder: string, name: string, text: string): void => {
  writeFileSync(path.join(folder, name), text, { mode: 0o600 })
}

/** The gateway's two files. */
export function writeGatewayFiles(places: DemoPlaces): void {
  put(places.folder, 'vgate.yaml', configuration(places))
  put(places.folder, 'policy.yaml', DEMO_POLICY)
}

/** What a second terminal uses: `env.sh`, a ready query, a small client, a small job. */
export function writeUserFiles(folder: string, gateway: string, platform: string): void {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
  const exports = Object.entries(commandEnvironment(folder, gateway)).map(
    ([name, value]) => `export ${name}=${quoted(value)}\n`,
  )
  const functions = `# Functions, because a checkout has no \`vgate\` on the PATH.
vgate() { node ${quoted(path.join(packageRoot, 'bin/run.js'))} "$@"; }
# Another person in this terminal: \`be bob\`, then \`vgate login\`.
be() { export VGATE_CONFIG_DIR=${quoted(folder)}/"$1"; }
# What a platform gives to a job: VGATE_TOKEN="$(ci_token)" vgate exec …
ci_token() { node -e 'fetch(process.argv[1]).then(async (answer) => console.log(await answer.text()))' ${quoted(`${platform}/token`)}; }
`
  put(folder, 'env.sh', exports.join('') + functions)
  put(folder, 'nearest.sql', nearestSql())
  put(folder, 'nearest.mjs', nearestScript())
  put(folder, 'ingest.mjs', ingestScript())
}
