// Owns `npm run demo` and `vgate demo`: starts the world, says where everything is, waits for Ctrl-C or plays the tour.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { packageRoot } from './documents.js'
import { commandEnvironment, DEMO_PHRASE, DEMO_TARGET } from './files.js'
import { DEMO_PEOPLE } from './identity-provider.js'
import { Reporter } from './reporter.js'
import { playTour } from './tour.js'
import { type DemoPorts, type DemoWorld, startWorld } from './world.js'

export interface DemoOptions {
  /** Play the story and end, instead of waiting. */
  readonly tour?: boolean
  /** NDJSON events instead of text. */
  readonly json?: boolean
  /** Default: stdout. */
  readonly out?: NodeJS.WritableStream
  /** Aborted: the demo stops everything and answers 0. Default: by SIGINT, SIGTERM or SIGHUP. */
  readonly signal?: AbortSignal
  readonly ports?: DemoPorts
}

/** Runs the demo to its end. Answers the exit code: 0, or 1 when something did not start or the tour did not show what it must. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const report = new Reporter(options.out ?? process.stdout, options.json === true)
  if (options.signal !== undefined) return run(options, report, options.signal)
  const stop = new AbortController()
  const abort = (): void => stop.abort()
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of signals) process.on(name, abort)
  try {
    return await run(options, report, stop.signal)
  } finally {
    for (const name of signals) process.off(name, abort)
  }
}

async function run(options: DemoOptions, report: Reporter, signal: AbortSignal): Promise<number> {
  const tour = options.tour === true
  const folder = tour
    ? mkdtempSync(path.join(tmpdir(), 'vgate-tour-'))
    : path.join(packageRoot, '.demo')
  const world = await begin(folder, options, report)
  if (world === undefined) return signal.aborted ? 0 : 1
  let code = 1
  try {
    if (signal.aborted) code = 0
    else code = tour ? await playTour(world, report, signal) : await wait(world, report, signal)
  } finally {
    report.working('stopping')
    await world.stop()
    report.done()
  }
  if (tour && code === 0) rmSync(folder, { recursive: true, force: true })
  if (tour && code !== 0) report.line(`the tour's files are kept in ${folder}`)
  return signal.aborted ? 0 : code
}

async function begin(
  folder: string,
  options: DemoOptions,
  report: Reporter,
): Promise<DemoWorld | undefined> {
  const ports = options.ports ?? (options.tour === true ? {} : { gateway: 8443 })
  try {
    const world = await startWorld(folder, ports, (step) => report.working(`starting: ${step}`))
    report.done()
    return world
  } catch (error) {
    report.done()
    report.failure(
      `the demo did not start: ${error instanceof Error ? error.message : String(error)}`,
    )
    return undefined
  }
}

async function wait(world: DemoWorld, report: Reporter, signal: AbortSignal): Promise<number> {
  introduce(world, report)
  const stopped = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  const lost = await Promise.race([stopped, world.lost])
  if (lost === undefined || signal.aborted) return 0
  report.failure(lost)
  return 1
}

function introduce(world: DemoWorld, report: Reporter): void {
  const here = path.relative(process.cwd(), world.folder) || world.folder
  const people = Object.entries(DEMO_PEOPLE).map(([name, { about }]) => `${name} (${about})`)
  report.event({
    event: 'demo_ready',
    gateway: world.gateway,
    issuer: world.issuer,
    folder: world.folder,
    target: DEMO_TARGET,
    people: Object.keys(DEMO_PEOPLE),
    env: commandEnvironment(world.folder, world.gateway),
  })
  report.text(`
The demo is running.

  gateway   ${world.gateway}
  database  PostgreSQL with pgvector on 127.0.0.1:${world.database.port}; only the gateway knows its password
  people    ${people.join('\n            ')}
  files     ${here}/vgate.yaml, policy.yaml, gateway.log

In a second terminal, in this folder:

  source ${here}/env.sh
  vgate login                  # pick who you are in the browser
  vgate connect ${DEMO_TARGET}      # opens a local port, and stays

In a third ("${DEMO_PHRASE}", or a phrase of your own):

  source ${here}/env.sh
  eval "$(vgate env ${DEMO_TARGET})"
  psql -f ${here}/nearest.sql
  node ${here}/nearest.mjs 'the war in iraq'
  vgate sessions
  vgate replay SESSION         # an id of that list

A second person (log in above as alice; this waits until bob says yes):

  psql -c "DELETE FROM labels WHERE source = 'model-1'"

  be bob                       # in a fourth terminal, after source ${here}/env.sh
  vgate login                  # as bob
  vgate requests               # who waits, for what, and what it would touch
  vgate approve REQUEST        # shows the whole of it, and asks
  vgate revoke alice@example.org --reason "just trying"

A job, with its platform's token and no login:

  VGATE_TOKEN="$(ci_token)" vgate exec ${DEMO_TARGET} -- node ${here}/ingest.mjs

The same by itself: npm run demo -- --tour. Ctrl-C ends the demo.
`)
}
