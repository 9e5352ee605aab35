// Owns private PostgreSQL servers for tests: one cluster in a temporary folder on a free port, thrown away
// at the end. Two kinds: a build that carries pgvector, and the plain one of the distribution. Never touches
// a server that it did not start.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPostgres, type PostgresKind } from './postgres-builds.js'

export { findPostgres, hasPostgres, type PostgresKind } from './postgres-builds.js'

export interface PostgresOptions {
  readonly kind: PostgresKind
  /** How TCP connections authenticate; `scram` by default. */
  readonly auth?: 'scram' | 'md5' | 'password'
  /** PEM text. With it the server refuses TCP connections without TLS. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Every statement goes to the log, so that a test can prove that one never arrived. */
  readonly logStatements?: boolean
  /** More settings, as in `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface TestPostgres {
  readonly host: string
  readonly port: number
  readonly superuser: string
  readonly password: string
  /** A new database: empty, run through `sql`, or a copy of `template`. Answers its name. */
  createDatabase(from?: { readonly sql?: string; readonly template?: string }): Promise<string>
  dropDatabase(name: string): Promise<void>
  /** A new connected client of the superuser; the caller ends it. */
  connect(database: string): Promise<pg.Client>
  /** Stops the server, cutting every client; `up` starts it again with the same port and data. */
  down(): Promise<void>
  up(): Promise<void>
  /** The server's log from this byte on; all of it without. */
  log(from?: number): string
  /** Bytes that the server's log has by now. */
  logSize(): number
  stop(): Promise<void>
}

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const SUPERUSER = 'postgres'
const METHODS = { scram: 'scram-sha-256', md5: 'md5', password: 'password' } as const

/** Starts a private cluster: a copy of one that was made once for this build and way to authenticate. */
export async function startPostgres(options: PostgresOptions): Promise<TestPostgres> {
  const found = findPostgres()[options.kind]
  if (!found) throw new Error(`no PostgreSQL of kind ${options.kind} on this machine`)
  const folder = mkdtempSync(join(clusterRoot(), 'vgate-pg-'))
  const user = serverUser()
  if (user) chownSync(folder, user.uid, user.gid)
  const bin = await reachable(found, folder, user)
  const password = await initialise(bin, found, folder, user, options)
  let last: unknown
  for (let attempt = 0; attempt < 5; attempt += 1) {
    try {
      const port = await freePort()
      const start = () => launch(bin, folder, user, port, options)
      return new Cluster(await start(), start, folder, port, password, options).started()
    } catch (error) {
      last = error // another process may have taken the port meanwhile
    }
  }
  rmSync(folder, { recursive: true, force: true })
  throw last
}

/** Memory where there is enough of it: clusters are thousands of small files, and slow disks make them slower to delete than to use. */
function clusterRoot(): string {
  const memory = '/dev/shm'
  if (!existsSync(memory)) return tmpdir()
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize > 4 * 1024 ** 3 ? memory : tmpdir()
}

interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/** initdb refuses root: an account of the machine that owns nothing of ours. */
function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find((line) => line.startsWith(`${name}:`))?.split(':') ?? []
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error('initdb refuses root, and there is neither a user postgres nor a user nobody')
}

/** The binaries, copied beside the cluster when the other account cannot reach them where they are. */
async function reachable(
  bin: string,
  folder: string,
  user: ServerUser | undefined,
): Promise<string> {
  try {
    await run(join(bin, 'postgres'), ['--version'], { ...user })
    return bin
  } catch (error) {
    if (!user) throw error
    cpSync(join(bin, '..'), join(folder, 'install'), { recursive: true })
    return join(folder, 'install/bin')
  }
}

/** Puts a fresh cluster into `folder/data`; answers its superuser's password. */
async function initialise(
  bin: string,
  found: string,
  folder: string,
  user: ServerUser | undefined,
  options: PostgresOptions,
): Promise<string> {
  const method = METHODS[options.auth ?? 'scram']
  const stored = await storedCluster(bin, found, folder, user, method)
  await run('cp', ['-a', join(stored, 'data'), join(folder, 'data')])
  if (options.tls) {
    const own = (name: string, content: string): void => {
      const path = join(folder, name)
      writeFileSync(path, content, { mode: 0o600 })
      if (user) chownSync(path, user.uid, user.gid)
    }
    own('server.crt', options.tls.cert)
    own('server.key', options.tls.key)
    const lines = `hostssl all all 127.0.0.1/32 ${method}\nhostssl replication all 127.0.0.1/32 ${method}\n`
    writeFileSync(join(folder, 'data/pg_hba.conf'), lines)
  }
  return readFileSync(join(stored, 'password'), 'utf8')
}

/**
 * A folder with a cluster that was never started and the password of its superuser, made when it is not there: initdb
 * costs seconds, a copy does not. Several processes may make it at once; the first to finish wins.
 */
async function storedCluster(
  bin: string,
  found: string,
  folder: string,
  user: ServerUser | undefined,
  method: string,
): Promise<string> {
  const { stdout } = await run(join(bin, 'postgres'), ['--version'], { ...user })
  const key = createHash('sha256').update(`${found}\n${stdout}\n${method}\n${user?.uid}`)
  const stored = join(root, '.cache', 'clusters', key.digest('hex').slice(0, 16))
  if (existsSync(stored)) return stored
  const made = join(folder, 'made')
  mkdirSync(made, { mode: 0o700 })
  if (user) chownSync(made, user.uid, user.gid)
  const pwfile = join(made, 'password')
  writeFileSync(pwfile, randomBytes(12).toString('hex'), { mode: 0o600 })
  if (user) chownSync(pwfile, user.uid, user.gid)
  await run(
    join(bin, 'initdb'),
    [
      ...['-D', join(made, 'data'), '-U', SUPERUSER, `--pwfile=${pwfile}`],
      ...[`--auth-host=${method}`, '--auth-local=trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    ],
    { ...user, cwd: folder, env: { PATH: process.env['PATH'] ?? '' } },
  )
  mkdirSync(join(root, '.cache', 'clusters'), { recursive: true })
  const beside = `${stored}.${process.pid}`
  await run('cp', ['-a', made, beside])
  rmSync(made, { recursive: true, force: true })
  try {
    renameSync(beside, stored)
  } catch {
    rmSync(beside, { recursive: true, force: true }) // another process was first
  }
  return stored
}

async function launch(
  bin: string,
  folder: string,
  user: ServerUser | undefined,
  port: number,
  options: PostgresOptions,
): Promise<ChildProcess> {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '60',
    shared_buffers: '32MB',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    autovacuum: 'off',
    ...(options.logStatements ? { log_statement: 'all', log_connections: 'on' } : {}),
    ...(options.tls
      ? {
          ssl: 'on',
          ssl_cert_file: join(folder, 'server.crt'),
          ssl_key_file: join(folder, 'server.key'),
        }
      : {}),
    ...options.settings,
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = spawn(join(bin, 'postgres'), ['-D', join(folder, 'data'), ...flags], {
    ...user,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  })
  const logFile = join(folder, 'server.log')
  writeFileSync(logFile, '')
  await new Promise<void>((resolve, reject) => {
    let text = ''
    server.stderr?.setEncoding('utf8')
    server.stderr?.on('data', (chunk: string) => {
      writeFileSync(logFile, chunk, { flag: 'a' })
      text = text.length < 100_000 ? text + chunk : text
      if (text.includes('ready to accept connections')) resolve()
    })
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`postgres ended with ${code}: ${text}`)))
  })
  return server
}

class Cluster implements TestPostgres {
  readonly host = '127.0.0.1'
  readonly superuser = SUPERUSER
  readonly port: number
  readonly password: string
  readonly #start: () => Promise<ChildProcess>
  readonly #folder: string
  readonly #tls: boolean
  readonly #kill = (): void => {
    this.#server.kill('SIGQUIT')
    rmSync(this.#folder, { recursive: true, force: true })
  }
  #server: ChildProcess
  #admin: pg.Client | undefined
  #databases = 0

  constructor(
    server: ChildProcess,
    start: () => Promise<ChildProcess>,
    folder: string,
    port: number,
    password: string,
    options: PostgresOptions,
  ) {
    this.#server = server
    this.#start = start
    this.#folder = folder
    this.port = port
    this.password = password
    this.#tls = options.tls !== undefined
    process.once('exit', this.#kill)
  }

  async started(): Promise<this> {
    this.#admin = await this.connect('postgres')
    return this
  }

  async connect(database: string): Promise<pg.Client> {
    const client = new pg.Client({
      host: this.host,
      port: this.port,
      user: SUPERUSER,
      password: this.password,
      database,
      ...(this.#tls ? { ssl: { rejectUnauthorized: false } } : {}), // a private server of this very process
    })
    client.on('error', () => {}) // the server's stop ends idle clients; nothing is lost
    await client.connect()
    return client
  }

  async createDatabase(from: { sql?: string; template?: string } = {}): Promise<string> {
    this.#databases += 1
    const name = `t${this.#databases}`
    const template = from.template ? ` TEMPLATE "${from.template}"` : ''
    await this.#admin?.query(`CREATE DATABASE "${name}"${template}`)
    if (from.sql === undefined) return name
    const client = await this.connect(name)
    try {
      await client.query(from.sql)
    } finally {
      await client.end()
    }
    return name
  }

  async dropDatabase(name: string): Promise<void> {
    await this.#admin?.query(`DROP DATABASE "${name}" WITH (FORCE)`)
  }

  log(from = 0): string {
    const file = openSync(join(this.#folder, 'server.log'), 'r')
    try {
      const bytes = Buffer.alloc(Math.max(fstatSync(file).size - from, 0))
      return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, from))
    } finally {
      closeSync(file)
    }
  }

  logSize(): number {
    return statSync(join(this.#folder, 'server.log')).size
  }

  down(): Promise<void> {
    return this.#end('SIGINT') // fast shutdown: ends clients first
  }

  async up(): Promise<void> {
    this.#server = await this.#start()
    await this.started()
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.#kill)
    // Nothing of the cluster is kept, so nothing needs a checkpoint: an immediate shutdown, which nothing delays.
    await this.#end('SIGQUIT')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    if (this.#server.exitCode !== null) return
    const ended = new Promise((resolve) => this.#server.once('exit', resolve))
    this.#server.kill(signal)
    await ended
  }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', resolve)
  })
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
