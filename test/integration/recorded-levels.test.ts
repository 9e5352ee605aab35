// What of a session stands in its recording, under each `record` level, through a real data plane and a real
// PostgreSQL: read from the stored bytes, not from what the code says of them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { formsOf, Random, statementOver } from '../support/masked-statements.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { message } from '../support/raw-postgres-messages.js'
import { type Played, playedSession, queries, raw } from '../support/recorded-session.js'

const LEVELS = ['full', 'text', 'metadata'] as const
type Level = (typeof LEVELS)[number]

const POLICY = `
roles:
${LEVELS.map(
  (level) => `  ${level}:
    allow: [{ access: admin, collections: [docs, notes] }]
    mask: [{ collections: [docs], fields: [email], with: redact }]
    record: ${level}`,
).join('\n')}
access:
${LEVELS.map((level) => `  - { who: { group: ${level} }, role: ${level}, targets: ["*"] }`).join('\n')}
`
const SETUP = `
CREATE EXTENSION vector;
CREATE TABLE docs(id int PRIMARY KEY, email text, body text, embedding vector(3));
INSERT INTO docs SELECT g, 'hidden'||g||'@masked.example', 'body of '||g, '[0.25,0.5,0.125]' FROM generate_series(1,20) g;
CREATE TABLE notes(key text PRIMARY KEY, body text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'not this row: %', OLD.email; END $$;
CREATE TRIGGER tell BEFORE UPDATE ON docs FOR EACH ROW WHEN (OLD.id = 20) EXECUTE FUNCTION tell();
CREATE TABLE others(id int); ANALYZE`

describe.skipIf(!hasPostgres('pgvector'))('a recording', () => {
  let postgres: TestPostgres
  let gateway: TestGateway

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
    const database = await postgres.createDatabase({ sql: SETUP })
    const users = Object.fromEntries(LEVELS.map((level) => [level, [`corp:${level}`]]))
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
  })

  afterAll(async () => {
    await gateway?.stop()
    await postgres?.stop()
  })

  const played = (level: Level, work: (at: TestConnection) => Promise<unknown>) =>
    playedSession(gateway, level, work)
  const judged = ({ records }: Played): Record<string, unknown>[] =>
    records.filter(({ type }) => type === 'operation.judged')
  const delivered = ({ records }: Played): Record<string, unknown>[] =>
    records.filter(({ type }) => type === 'operation.delivered')
  const keysOf = (played: Played): unknown[] =>
    [...judged(played), ...delivered(played)].flatMap(({ keys }) =>
      keys === undefined ? [] : [keys],
    )

  describe.each(LEVELS)('under %s', (level) => {
    const [content, whole] = [level !== 'metadata', level === 'full']

    it('has statements, parameters and results as far as its level goes', async () => {
      const found = await played(level, async (at) => {
        await queries(at, [
          "SELECT id, body FROM docs WHERE body = 'body of 7' LIMIT 5",
          {
            text: 'SELECT body FROM docs WHERE id = $1 AND body <> $2',
            values: [8, 'told-as-text'],
          },
          { text: 'SELECT body FROM docs WHERE id = ANY($1::int[])', values: [[12, 13]] },
        ])
        await raw(at, [
          { m: 'P', name: 's', sql: 'SELECT body FROM docs WHERE id = $1', oids: [23] },
          { m: 'B', stmt: 's', pfmt: [1], rfmt: [1], params: ['\0\0\0\x0b'] },
          { m: 'E' },
          { m: 'S' },
        ])
      })
      const has = (text: string): boolean => found.text.includes(text)
      expect({
        statement: has("body = 'body of 7'"),
        parameter: has('"told-as-text"'),
        array: has('"{\\"12\\",\\"13\\"}"'),
        binary: has('"parameters":["11"]'),
        results: ['7', '8', '12', '13', '11'].map((id) => has(`body of ${id}"`)),
        columns: has('"columns":["id","body"]'),
      }).toEqual({
        statement: content,
        parameter: content,
        array: content,
        binary: content,
        results: Array(5).fill(content),
        columns: content,
      })
      // Counts at every level.
      expect(delivered(found).map(({ rowCount, tag }) => [rowCount, tag])).toEqual([
        [1, 'SELECT 1'],
        [1, 'SELECT 1'],
        [2, 'SELECT 2'],
        [1, 'SELECT 1'],
      ])
    })

    it('reduces embeddings wherever they stand, but in full', async () => {
      const floats = Array.from({ length: 16 }, (_, at) => (at + 0.75).toFixed(2))
      const doubles = Buffer.alloc(20 + 16 * 12)
      for (const [at, value] of [1, 0, 701, 16, 1].entries()) doubles.writeInt32BE(value, at * 4)
      for (let at = 0; at < 16; at += 1) {
        doubles.writeInt32BE(8, 20 + at * 12)
        doubles.writeDoubleBE(at + 0.75, 24 + at * 12)
      }
      const found = await played(level, async (at) => {
        const got = await queries(at, [
          "SELECT id FROM docs ORDER BY embedding <-> '[0.11,0.22,0.33]' LIMIT 1",
          {
            text: 'SELECT id FROM docs ORDER BY embedding <-> $1 LIMIT 1',
            values: ['[0.11,0.22,0.333]'],
          },
          `SELECT array_length('{${floats}}'::real[], 1)`,
          { text: 'SELECT array_length($1::real[], 1)', values: [`{${floats}}`] },
          "SELECT id FROM others ORDER BY embedding <-> '[0.11,0.22,0.33]' LIMIT 1",
          "SELECT '[0.11,0.22,0.33]' FROM FROM",
          "BEGIN; CREATE TABLE notes2(id int); SELECT '[0.11,0.22,0.33]'::vector",
          'SELECT embedding, embedding::text AS t, ARRAY[embedding] AS a FROM docs WHERE id = 1',
          "EXPLAIN SELECT id FROM docs ORDER BY embedding <-> '[0.11,0.22,0.33]' LIMIT 1",
        ])
        expect(JSON.stringify(got[7])).toContain('0.125')
        await raw(at, [
          { m: 'P', sql: 'SELECT array_length($1, 1)', oids: [1022] },
          message(
            'B',
            Buffer.from('\0\0\0\x01\0\x01\0\x01', 'latin1'),
            int32(doubles.length),
            doubles,
            Buffer.alloc(2),
          ),
          { m: 'E' },
          { m: 'S' },
        ])
        const copied = await raw(at, [
          { m: 'Q', sql: 'COPY (SELECT id, embedding FROM docs LIMIT 2) TO STDOUT' },
        ])
        expect(
          copied.filter(({ type }) => type === 'd').map(({ body }) => body.toString()),
        ).toContain('1\t[0.25,0.5,0.125]\n')
        await raw(at, [
          { m: 'Q', sql: 'COPY (SELECT id, embedding FROM docs LIMIT 2) TO STDOUT (FORMAT csv)' },
        ])
        await raw(at, [
          {
            m: 'Q',
            sql: 'COPY (SELECT body, embedding FROM docs LIMIT 2) TO STDOUT (FORMAT binary)',
          },
        ])
      })
      const binary = found.records.flatMap(({ rows }) =>
        (JSON.stringify(rows) ?? '').includes('PGCOPY') ? [1] : [],
      )
      expect({
        queries: found.text.includes('0.11,0.22'),
        arrays: found.text.includes('1.75,2.75'),
        stored: /0\.25,\s*0\.5/.test(found.text),
        binary: binary.length,
        dimensions: /vector\(3\)|"vector":3/.test(found.text),
      }).toEqual({ queries: whole, arrays: whole, stored: whole, binary: 0, dimensions: content })
      if (level === 'text') {
        expect(found.text).toContain('"t"')
        expect(found.text).toContain('vector(16)')
        expect(found.text).toContain('"1\\tvector(3)\\n"')
      }
    })

    it('has the keys that were written and deleted, at every level', async () => {
      const found = await played(level, async (at) => {
        await queries(at, [
          "INSERT INTO docs(id, body) VALUES (901, 'a'), (902, 'b')",
          { text: 'INSERT INTO notes VALUES ($1, $2)', values: ['key-of-note', 'c'] },
          "INSERT INTO notes SELECT 'made-'||g FROM generate_series(1,2) g RETURNING key",
          {
            text: 'UPDATE docs SET body = $2 WHERE body = $1 RETURNING body, id',
            values: ['a', 'z'],
          },
          'DELETE FROM docs WHERE id IN (901, 902)',
          'DELETE FROM notes',
        ])
      })
      expect(keysOf(found)).toEqual([
        { docs: ['901', '902'] },
        { notes: ['key-of-note'] },
        { docs: ['901', '902'] },
        { notes: ['made-1', 'made-2'] },
        { docs: ['901'] },
      ])
      expect(found.text.includes('"c"')).toBe(content)
    })

    it('names the keys of rows that are copied in, and keeps nothing else of them', async () => {
      const csv = Buffer.from('body,key\r\n"first, of two ""lines""\n","k,1"\r\ncopied-body,k2\r\n')
      const binary = Buffer.concat([
        Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1'),
        ...['k3', 'k4'].flatMap((key) => [
          Buffer.from('\0\x02\0\0\0\x02', 'latin1'),
          Buffer.from(key),
          Buffer.from('\0\0\0\x0bcopied-body', 'latin1'),
        ]),
        Buffer.from('\xff\xff', 'latin1'),
      ])
      const copies: [string, readonly Buffer[]][] = [
        // Cut anywhere, also in a key.
        [
          'COPY docs(id, body) FROM STDIN',
          ['95', '1\tcopied-body\n952\tcopied\\', '\nbody\n953\t\\N'].map((part) =>
            Buffer.from(part),
          ),
        ],
        ['COPY notes(body, key) FROM STDIN (FORMAT csv, HEADER)', [csv]],
        ['COPY notes FROM STDIN (FORMAT binary)', [binary.subarray(0, 25), binary.subarray(25)]],
        ["COPY notes FROM STDIN (DELIMITER '|')", [Buffer.from('k5|copied-body\nk\\|6|x\n\\.\n')]],
        ["COPY notes FROM STDIN WHERE key = 'k7'", [Buffer.from('k7\tx\nk8\tx\n')]],
      ]
      const found = await played(level, async (at) => {
        for (const [sql, parts] of copies) {
          const data = parts.map((part) => message('d', part))
          const replies = await raw(at, [{ m: 'Q', sql }, ...data, { m: 'c' }])
          expect([sql, replies.map(({ type }) => type).join('')]).toEqual([sql, 'GCZ'])
        }
      })
      expect(keysOf(found)).toEqual([
        { docs: ['951', '952', '953'] },
        { notes: ['k,1', 'k2'] },
        { notes: ['k3', 'k4'] },
        { notes: ['k5', 'k|6'] },
      ])
      expect(judged(found).map(({ keysUnknown }) => keysUnknown)).toEqual(Array(5).fill(true))
      expect(delivered(found).map(({ tag, rowCount }) => [tag, rowCount])).toEqual([
        ['COPY 3', 3],
        ['COPY 2', 2],
        ['COPY 2', 2],
        ['COPY 2', 2],
        ['COPY 1', 2],
      ])
      expect(found.text).not.toContain('copied-body')
      expect(found.text.includes('DELIMITER')).toBe(content)
      await played(level, (at) =>
        queries(at, ['DELETE FROM docs WHERE id > 900', 'DELETE FROM notes']).then(() => undefined),
      )
    })

    it('names a thousand keys of a long copy, and has a filter for the rest', async () => {
      const rows = Array.from({ length: 2500 }, (_, at) => `long${at}\tx\n`)
      const found = await played(level, async (at) => {
        const data = [rows.slice(0, 700), rows.slice(700, 1900), rows.slice(1900)]
        const parts = data.map((part) => message('d', Buffer.from(part.join(''))))
        await raw(at, [{ m: 'Q', sql: 'COPY notes FROM STDIN' }, ...parts, { m: 'c' }])
        await queries(at, ['DELETE FROM notes'])
      })
      const named = keysOf(found).flatMap((keys) => (keys as { notes: string[] }).notes)
      expect([named.length, named[0], named[999]]).toEqual([1000, 'long0', 'long999'])
      const more = delivered(found).flatMap(({ keysMore }) =>
        keysMore === undefined ? [] : [keysMore],
      )
      expect(more).toHaveLength(1)
      const { notes: filter } = more[0] as {
        notes: { count: number; hashes: number; bits: string }
      }
      expect(filter.count).toBe(1500)
      expect(filter.bits.length).toBeLessThan(4096)
      expect(found.text).not.toContain('long1500')
    })

    it('has no secret of a statement', async () => {
      const secrets = [
        "ALTER ROLE postgres PASSWORD 'hunter2-a'",
        'CREATE USER eve WITH LOGIN PASSWORD $$hunter2-b$$',
        "CREATE ROLE eve ENCRYPTED PASSWORD E'hunter2-c\\'d'",
        "CREATE USER MAPPING FOR eve SERVER s OPTIONS (user 'eve', password 'hunter2-d')",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2-e' PUBLICATION p",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE eve PASSWORD ''hunter2-f'''; END $$",
        "ALTER ROLE eve PASSWORD 'hunter2-g' AND MORE",
        'ALTER ROLE eve PASSWORD hunter2-h',
        "SELECT 1; ALTER ROLE eve /* hunter2-i */ PASSWORD 'hunter2-j'",
        "ALTER USER eve PASSWORD 'hunter2-k",
      ]
      const found = await played(level, async (at) => {
        await queries(at, secrets)
        await queries(
          at,
          secrets.map((text) => ({ text, values: [] })),
        )
      })
      expect(judged(found)).toHaveLength(20)
      expect(judged(found).every(({ verdict }) => verdict === 'deny')).toBe(true)
      expect(found.text).not.toContain('hunter2')
      expect(found.text.includes('ALTER ROLE postgres PASSWORD')).toBe(content)
    })

    it('has what the database says of an error, but never a value that is masked', async () => {
      const found = await played(level, async (at) => {
        const got = await queries(at, [
          'SELECT body::int FROM docs WHERE id = 3',
          'SELECT id, email FROM docs WHERE body::int = 3',
          "UPDATE docs SET body = 'x' WHERE id = 20",
          'SELECT nothing_like_this FROM docs',
        ])
        expect(String(got[0])).toContain('body of 3')
        expect(String(got[1])).toContain('text withheld')
        expect(String(got[2])).toContain('text withheld')
      })
      expect(delivered(found).map(({ error }) => (error as { sqlstate: string }).sqlstate)).toEqual(
        ['22P02', '22P02', 'P0001'],
      )
      expect(found.text.includes('integer: \\"body of 3')).toBe(content)
      expect(found.text.includes('nothing_like_this')).toBe(content)
      expect(found.text).not.toContain('masked.example')
    })

    it('has no masked value, whatever form a statement takes', async () => {
      const found = await played(level, async (at) => {
        const chosen = new Random(level.length)
        const plain = Array.from({ length: 100 }, () => statementOver(chosen))
        const got = await queries(at, [
          ...plain,
          ...plain.slice(0, 30).map((text) => ({ text, values: [] })),
          ...plain.slice(30, 60).map((text) => ({ text, values: [], binary: true })),
        ])
        expect(JSON.stringify(got)).not.toContain('masked.example')
        // The forms are real: some of them run, and fail.
        expect(JSON.stringify(got)).toContain('[masked]')
        expect(JSON.stringify(got)).toContain('text withheld')
      })
      expect(judged(found).length).toBeGreaterThan(120)
      for (const form of formsOf('masked.example'))
        expect([form, found.text.toLowerCase().includes(form)]).toEqual([form, false])
    })

    it('of what was refused has no more than of what was not', async () => {
      const found = await played(level, async (at) => {
        await queries(at, [
          "SELECT * FROM others WHERE 'told-in-refusal' = ''",
          { text: 'INSERT INTO others SELECT length($1)', values: ['told-as-parameter'] },
          "SELECT 'told-in-error' 'x'",
        ])
      })
      expect(judged(found).map(({ verdict }) => verdict)).toEqual(['deny', 'deny', 'deny'])
      for (const word of ['told-in-refusal', 'told-in-error'])
        expect([word, found.text.includes(word)]).toEqual([word, content])
      expect(found.text.includes('told-as-parameter')).toBe(false)
    })
  })
})

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
