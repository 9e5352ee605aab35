// Owns the demo's whole world: identity provider, database process and gateway, started in order and stopped in reverse.

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import path from 'node:path'
import { type Child, startChild } from './child.js'
import { packageRoot } from './documents.js'
import { makeFolder, writeGatewayFiles, writeUserFiles } from './files.js'
import { startIdentityProvider } from './identity-provider.js'
import { PIPELINE_AUDIENCE, startWorkloadIssuer, type WorkloadIssuer } from './workload-issuer.js'

export const COMMAND = path.join(packageRoot, 'bin/run.js')

/** What the platform says of the job that labels documents. */
const PIPELINE_CLAIMS = {
  aud: PIPELINE_AUDIENCE,
  sub: 'repo:acme/labels:ref:refs/heads/main',
  repository: 'acme/labels',
  ref: 'refs/heads/main',
}
const DATABASE_USER = 'vgate'
const DATABASE_NAME = 'postgres'
const DATABASE_READY_MS = 90_000
const GATEWAY_READY_MS = 30_000

export interface DemoPorts {
  readonly gateway?: number
  readonly identity?: number
}

export interface DemoWorld {
  readonly folder: string
  readonly gateway: string
  readonly issuer: string
  /** A token as the platform gives it to the pipeline. */
  jobToken(): Promise<string>
  /** The database itself, past the gateway: for the tour's own comparison. */
  readonly database: {
    readonly port: number
    readonly user: string
    readonly password: string
    readonly name: string
  }
  /** Resolves, with a sentence, when the gateway or the database is gone though nobody stopped it. */
  readonly lost: Promise<string>
  stop(): Promise<void>
}

/** A port of 127.0.0.1 that is free now: the wanted one if it is. */
async function freePort(wanted: number): Promise<number> {
  const attempt = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer()
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        const address = server.address()
        server.close(() =>
          resolve(typeof address === 'object' && address !== null ? address.port : port),
        )
      })
    })
  try {
    return await attempt(wanted)
  } catch {
    return attempt(0) // taken: any other will do for a demo
  }
}

/** Starts everything in `folder` (made anew). `tell` hears what is being done. Rejects with nothing left running. */
export async function startWorld(
  folder: string,
  ports: DemoPorts,
  tell: (step: string) => void,
): Promise<DemoWorld> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async (): Promise<void> => {
    for (const one of started.splice(0).reverse()) await one.stop()
  }
  try {
    makeFolder(folder)
    tell('identity provider')
    const provider = await startIdentityProvider(await freePort(ports.identity ?? 0))
    started.push({ stop: () => provider.close() })
    const platform = await startPlatform()
    started.push({ stop: () => platform.close() })
    const password = randomBytes(18).toString('base64url')
    tell('PostgreSQL with pgvector and 2,500 documents')
    const database = await startDatabase(folder, password)
    started.push(database)
    const databasePort = Number(database.listening['port'])
    tell('gateway')
    const gatewayPort = await freePort(ports.gateway ?? 0)
    writeGatewayFiles({
      folder,
      issuer: provider.issuer,
      platform: platform.issuer,
      databasePort,
      databaseName: DATABASE_NAME,
      databaseUser: DATABASE_USER,
      gatewayPort,
    })
    const gateway = await startGateway(folder, password)
    started.push(gateway)
    const url = String(gateway.listening['url'] ?? `http://127.0.0.1:${gatewayPort}`)
    writeUserFiles(folder, url, platform.issuer)
    const lost = Promise.race(
      [database, gateway].map((child) =>
        child.ended.then((how) => `the ${child.name} is gone: ${how}`),
      ),
    )
    return {
      folder,
      gateway: url,
      issuer: provider.issuer,
      jobToken: () => platform.sign(PIPELINE_CLAIMS),
      database: { port: databasePort, user: DATABASE_USER, password, name: DATABASE_NAME },
      lost,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The platform of the demo's pipeline: it gives a token to whoever asks, on loopback. */
async function startPlatform(): Promise<WorkloadIssuer> {
  return await startWorkloadIssuer(async ({ pathname }, sign) =>
    pathname === '/token' ? { text: await sign(PIPELINE_CLAIMS) } : undefined,
  )
}

function startDatabase(folder: string, password: string): Promise<Child> {
  return startChild({
    name: 'demo database',
    script: path.join(packageRoot, 'dist/demo/pglite-process.js'),
    env: { PATH: process.env['PATH'], VGATE_DEMO_PASSWORD: password },
    logFile: path.join(folder, 'database.log'),
    readyMs: DATABASE_READY_MS,
  })
}

/** The real binary, with a clean environment: what the user's shell says about vgate is not the demo's. */
function startGateway(folder: string, password: string): Promise<Child> {
  return startChild({
    name: 'gateway',
    script: COMMAND,
    args: ['gateway', 'start', '--config', path.join(folder, 'vgate.yaml'), '--json'],
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      VGATE_CONFIG_DIR: path.join(folder, 'gateway'),
      VGATE_DEMO_PASSWORD: password,
    },
    logFile: path.join(folder, 'gateway.log'),
    readyMs: GATEWAY_READY_MS,
  })
}
