// Owns what is particular to PostgreSQL with pgvector: types, distances, settings, action names, address and
// environment. It holds no protocol mechanics.

import { VgateError } from '../core/errors.js'
import type { PostgresProduct } from '../protocol/table.js'
import { distancesOf, embeddingFunctions, FUNCTIONS, OPERATORS } from './pgvector-operations.js'
import type { Database, DatabaseAddress, LocalEndpoint, Snippet } from './types.js'

/** pgvector 0.5–0.8: README, "Reference". */
const PRODUCT: PostgresProduct = {
  vectorTypes: ['vector', 'halfvec', 'sparsevec'],
  builtInVectorTypes: { bit: 1560, varbit: 1562 },
  distanceOperators: distancesOf(OPERATORS),
  distanceFunctions: distancesOf(FUNCTIONS),
  embeddingFunctions: embeddingFunctions(),
  extensions: ['vector'],
  settings: [
    'hnsw.ef_search',
    'hnsw.iterative_scan',
    'hnsw.max_scan_tuples',
    'hnsw.scan_mem_multiplier',
    'ivfflat.probes',
    'ivfflat.iterative_scan',
    'ivfflat.max_probes',
  ],
}

/** Action names of SQL statements. */
const ACTIONS = [
  'connect',
  'cancel',
  'search',
  'get',
  'scroll',
  'count',
  'describe_collection',
  'insert',
  'upsert',
  'update',
  'update_by_filter',
  'delete',
  'delete_by_filter',
  'truncate',
  'batch_write',
  'export',
  'import',
  'create_collection',
  'alter_collection',
  'rename_collection',
  'drop_collection',
  'create_index',
  'alter_index',
  'drop_index',
  'rebuild_index',
  'flush',
  'script',
  'alter_database',
  'iam_write',
  'cluster_admin',
] as const

const DEFAULT_PORT = 5432

function invalid(what: string): VgateError {
  return new VgateError('VGATE_CONFIG_INVALID', `the address of a pgvector target ${what}`, {
    hint: 'write postgres://host:5432/database, with the credential under credential:',
  })
}

/** `postgres://host[:port]/database`. Credentials and options in it are refused: they belong under their own keys. */
function parseAddress(url: string): DatabaseAddress {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw invalid('is not a URL')
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:') {
    throw invalid('must begin with postgres:// or postgresql://')
  }
  if (parsed.username !== '' || parsed.password !== '')
    throw invalid('must not hold a user name or password')
  if (parsed.search !== '' || parsed.hash !== '') throw invalid('must not hold options')
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  if (host === '') throw invalid('names no host')
  const databaseName = decodeName(parsed.pathname.slice(1))
  const port = parsed.port === '' ? DEFAULT_PORT : Number(parsed.port)
  if (port < 1) throw invalid('has no usable port')
  return { host: decodeName(host), port, databaseName }
}

function decodeName(text: string): string {
  let name: string
  try {
    name = decodeURIComponent(text)
  } catch {
    throw invalid('is not well encoded')
  }
  // A NUL would end a start-up message early; a slash means more than one path segment.
  if (name === '') throw invalid('names no database')
  if (name.includes('\0') || text.includes('/')) throw invalid('names no single database')
  return name
}

function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function connectionString(endpoint: LocalEndpoint): string {
  const user = encodeURIComponent(endpoint.user)
  const secret = encodeURIComponent(endpoint.secret)
  const database = encodeURIComponent(endpoint.databaseName)
  return `postgresql://${user}:${secret}@${hostInUrl(endpoint.host)}:${endpoint.port}/${database}?sslmode=disable`
}

/** libpq's variables (PostgreSQL docs, "Environment Variables") and DATABASE_URL. */
function environment(endpoint: LocalEndpoint): Record<string, string> {
  return {
    PGHOST: endpoint.host,
    PGPORT: String(endpoint.port),
    PGUSER: endpoint.user,
    PGPASSWORD: endpoint.secret,
    PGDATABASE: endpoint.databaseName,
    PGSSLMODE: 'disable',
    DATABASE_URL: connectionString(endpoint),
  }
}

function snippets(endpoint: LocalEndpoint): readonly Snippet[] {
  const url = connectionString(endpoint)
  const sqlalchemy = url.replace('postgresql://', 'postgresql+psycopg://')
  return [
    { client: 'psql', code: `psql "${url}"` },
    { client: 'psycopg', code: `import psycopg\nconnection = psycopg.connect("${url}")` },
    {
      client: 'node pg',
      code: `import pg\nconst client = new pg.Client({ connectionString: '${url.replace('?sslmode=disable', '')}' })\nawait client.connect()`,
    },
    {
      client: 'LangChain',
      code: `from langchain_postgres import PGVector\nstore = PGVector(embeddings=embeddings, collection_name="docs", connection="${sqlalchemy}")`,
    },
    { client: 'Prisma', code: `DATABASE_URL="${url}"` },
  ]
}

/** PostgreSQL with the pgvector extension. */
export const PGVECTOR: Database = {
  name: 'pgvector',
  family: 'postgres',
  endpoints: ['postgres'],
  defaultPort: DEFAULT_PORT,
  actions: ACTIONS,
  product: PRODUCT,
  parseAddress,
  environment,
  connectionString,
  snippets,
}
