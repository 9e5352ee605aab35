// Owns what the tour's steps hand on to each other: who is connected, requests under way, the session's recording.

import { readdirSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { DEMO_TARGET } from './files.js'
import { Staying, type Typist } from './tour-cli.js'
import { type Answer, TourConnection } from './tour-connection.js'
import type { DemoWorld } from './world.js'

export const ALICE: Typist = { name: 'alice' }
export const BOB: Typist = { name: 'bob' }
export const CAROL: Typist = { name: 'carol' }

export class TourState {
  readonly world: DemoWorld
  /** Of alice: the request that waits, and the statement that waits for it. */
  held: { readonly request: string; readonly answer: Promise<Answer> } | undefined
  readonly #connections = new Map<string, TourConnection>()

  constructor(world: DemoWorld) {
    this.world = world
  }

  get alice(): TourConnection {
    const found = this.#connections.get(ALICE.name)
    if (found === undefined) throw new Error('alice is not connected')
    return found
  }

  /** `vgate connect`, and an ordinary client on its port. */
  async connect(person: Typist, reason: string): Promise<TourConnection> {
    const args = ['connect', DEMO_TARGET, '--json', '--reason', reason]
    const command = new Staying(this.world, person, args)
    try {
      const connection = await TourConnection.open(command)
      this.#connections.set(person.name, connection)
      return connection
    } catch (error) {
      await command.stop()
      throw error
    }
  }

  /** One query past the gateway, with the credential that only it holds: what the tour compares with. */
  async direct(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { port, user, password, name } = this.world.database
    const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: name })
    await client.connect()
    try {
      return (await client.query(text, [...values])).rows
    } finally {
      await client.end()
    }
  }

  /** Ends everybody's clients and commands. What was done stays known. */
  async close(): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.close()))
  }

  /** The session's recording in the gateway's data. */
  recording(): string {
    const folder = path.join(this.world.folder, 'data')
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    const found = names.find(
      (name) =>
        name.includes('recordings') && path.basename(name) === `${this.alice.ready.session}.vgr`,
    )
    if (found === undefined)
      throw new Error(
        `no recording of ${this.alice.ready.session} in ${folder}: ${names.join(', ')}`,
      )
    return path.join(folder, found)
  }
}
