// Owns the tour's first part: alice logs in, connects, and asks for documents near a phrase.

import { readDocuments } from './documents.js'
import { embedPhrase, vectorLiteral } from './embed.js'
import { DEMO_PHRASE, DEMO_TARGET } from './files.js'
import { logIn } from './tour-cli.js'
import { ALICE, type TourState } from './tour-state.js'
import { check, type Played, type Step } from './tour-step.js'

const NEAREST =
  'SELECT id, subject, email, body, embedding, embedding <=> $1 AS distance FROM docs ORDER BY embedding <=> $1 LIMIT 5'
/** HNSW is approximate: four of the five true neighbours must be there. */
const MIN_OVERLAP = 4

async function login({ world }: TourState): Promise<Played> {
  const { code, loggedIn, exitCode } = await logIn(world, 'alice')
  return {
    shown: [`code ${code} confirmed in the browser as alice`, 'logged in as alice@example.org'],
    checks: [
      check(
        'event logged_in with alice as the principal',
        JSON.stringify(loggedIn['principal']).includes('alice'),
        loggedIn,
      ),
      check('exit code 0', exitCode === 0, exitCode),
    ],
  }
}

async function connect(state: TourState): Promise<Played> {
  const { session, port, env } = (await state.connect(ALICE, 'the tour')).ready
  return {
    shown: [
      `session ${session} on 127.0.0.1:${port}, user ${env.PGUSER}, a password that is worth nothing elsewhere`,
    ],
    checks: [
      check('a session id', session.startsWith('ses_'), session),
      check(
        'a password other than the database’s',
        env.PGPASSWORD !== state.world.database.password,
        'the same',
      ),
      check(
        'the whole environment for the client',
        Object.values(env).every((value) => value !== ''),
        Object.keys(env),
      ),
    ],
  }
}

async function nearest(state: TourState): Promise<Played> {
  const phrase = embedPhrase(DEMO_PHRASE)
  const { rows, error } = await state.alice.query(NEAREST, [vectorLiteral(phrase)])
  const truth = readDocuments()
    .map(({ id, embedding, body }) => ({
      id,
      body,
      near: embedding.reduce((sum, value, i) => sum + value * (phrase[i] ?? 0), 0),
    }))
    .sort((a, b) => b.near - a.near)
    .slice(0, 5)
  const overlap = rows.filter((row) => truth.some(({ id }) => id === row['id'])).length
  const bodies = rows.map((row) => String(row['body']))
  const text = bodies.join('\n')
  const plan = await state.direct(
    `EXPLAIN ${NEAREST.replaceAll('$1', `'${vectorLiteral(phrase)}'`)}`,
  )
  const planned = plan.map((line) => String(line['QUERY PLAN'])).join('\n')
  const masked = bodies.find((body) => body.includes('[masked]')) ?? ''
  const at = masked.indexOf('[masked]')
  return {
    shown: [
      ...rows.map(
        (row) =>
          `${String(row['distance']).padEnd(5)} ${row['subject']}  (email ${row['email']}, embedding ${String(row['embedding'])})`,
      ),
      `inside a text: …${masked.slice(Math.max(0, at - 40), at + 40).replace(/\s+/g, ' ')}…`,
      'found by the HNSW index',
    ],
    checks: [
      check('five rows', rows.length === 5, error ?? rows.length),
      check(
        `at least ${MIN_OVERLAP} of the five true neighbours`,
        overlap >= MIN_OVERLAP,
        rows.map((row) => row['id']),
      ),
      check(
        'the e-mail column masked',
        rows.every((row) => row['email'] === '[masked]'),
        rows.map((row) => row['email']),
      ),
      check('no address inside the text', !text.includes('@'), /\S+@\S+/.exec(text)?.[0]),
      check(
        '[masked] where an address was',
        truth.some(({ body }) => body.includes('@')) && at >= 0,
        text,
      ),
      check(
        'no embedding',
        rows.every((row) => row['embedding'] === null),
        rows.map((row) => row['embedding']),
      ),
      check(
        'distances rounded to two digits',
        rows.every((row) => /^\d(?:\.\d{1,2})?$/.test(String(row['distance']))),
        rows.map((row) => row['distance']),
      ),
      check('the HNSW index in the plan', planned.includes('docs_embedding'), planned),
    ],
  }
}

export const accessSteps: readonly Step[] = [
  {
    name: 'login',
    caption: 'Alice, a data scientist, logs in with her browser. No key, no password file.',
    typed: ['vgate login'],
    play: login,
  },
  {
    name: 'connect',
    caption:
      'She opens a local port to the documents. The database’s own credential never leaves the gateway.',
    typed: [`vgate connect ${DEMO_TARGET} --reason "the tour"`],
    play: connect,
  },
  {
    name: 'nearest',
    caption: `With an ordinary PostgreSQL client she asks for what is near “${DEMO_PHRASE}”. Addresses are masked as a column and inside the text; embeddings stay home.`,
    typed: [
      'SELECT id, subject, email, body, embedding, embedding <=> $1 AS distance',
      '  FROM docs ORDER BY embedding <=> $1 LIMIT 5',
    ],
    play: nearest,
  },
]
