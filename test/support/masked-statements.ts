// Owns statements that try to get at a masked column `docs.email`, in one of thousands of forms, for tests that look for
// its values afterwards.

/** A stream of numbers that is the same every time. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed * 2_654_435_761
  }

  of<T>(all: readonly T[]): T {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) >>> 0
    const found = all[(this.#state >>> 8) % all.length]
    if (found === undefined) throw new Error('nothing to choose from')
    return found
  }
}

/** A statement that reads, compares, casts or changes the masked column, in one of thousands of forms. */
export function statementOver(random: Random): string {
  const column = random.of([
    'email',
    'd.email',
    '(d).email',
    '(SELECT d.email)',
    "coalesce(email, 'x')",
  ])
  const value = random.of([
    ...Array.from({ length: 8 }, () => column),
    `${column}::text`,
    `${column}::varchar(60)`,
    `upper(${column})`,
    `reverse(${column})`,
    `${column} || ''`,
    `substring(${column} from 3)`,
    `encode(${column}::bytea, 'hex')`,
    `to_jsonb(${column})`,
    'row_to_json(d)',
    'd::text',
    'd.*',
    `array_agg(${column})`,
    `string_agg(${column}, ',')`,
    `${column}::int`,
    `(${column})::json`,
    `1 / (length(${column}) - length(${column}))`,
    `ARRAY[${column}]::int[]`,
  ])
  return random.of([
    (read: string) => `SELECT ${read} FROM docs d LIMIT 3`,
    (read: string) => `SELECT x.* FROM (SELECT ${read} AS y FROM docs d LIMIT 3) x`,
    (read: string) => `WITH x AS (SELECT ${read} AS y FROM docs d LIMIT 3) SELECT y FROM x`,
    (read: string) => `SELECT id FROM docs d WHERE ${read} IS NOT NULL LIMIT 3`,
    (read: string) => `SELECT id FROM docs d ORDER BY ${read} LIMIT 3`,
    (read: string) => `SELECT ${read} FROM docs d UNION SELECT 'x' LIMIT 3`,
    (read: string) => `UPDATE docs d SET body = body WHERE id = 3 RETURNING ${read}`,
    (read: string) => `UPDATE docs d SET body = ${read} WHERE id = 3`,
    (read: string) => `DELETE FROM docs d WHERE id = 404 OR ${read} = 'x' RETURNING ${read}`,
    (read: string) => `INSERT INTO notes SELECT id::text, ${read} FROM docs d LIMIT 1`,
    (read: string) => `EXPLAIN ANALYZE SELECT ${read} FROM docs d LIMIT 3`,
    (read: string) => `CREATE INDEX ON docs ((${read.replaceAll('d.', '')}))`,
    (read: string) => `ALTER TABLE docs ALTER body TYPE int USING ${read.replaceAll('d.', '')}`,
    (read: string) => `COPY (SELECT ${read} FROM docs d LIMIT 3) TO STDOUT`,
    () => 'UPDATE docs SET body = body WHERE id IN (19, 20)',
    () => "INSERT INTO docs(id, body) VALUES (20, 'x') ON CONFLICT (id) DO UPDATE SET body = 'y'",
    () => 'CREATE UNIQUE INDEX ON docs (substring(email from 1 for 3))',
    () => 'ALTER TABLE docs ALTER email TYPE int USING email::int',
    () => 'ALTER TABLE docs ADD CHECK (email::int > 0)',
  ])(value)
}

/** How a value could stand in a text. */
export function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value)
  const base64 = [0, 1, 2].map((cut) => bytes.subarray(cut).toString('base64').slice(0, 12))
  return [
    value,
    [...value].reverse().join(''),
    bytes.toString('hex'),
    ...base64.map((one) => one.toLowerCase()),
  ]
}
