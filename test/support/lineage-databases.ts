// Owns two databases that differ in masked values alone, and a role that is masked on them: whatever the gateway lets out
// of either must be the same bytes.

/** `first` and `second` differ in every masked value, and in nothing else: not in which of them are NULL, nor in length. */
export type Variant = 'first' | 'second'

export const LINEAGE_POLICY = `
roles:
  reader:
    allow:
      - { access: read, collections: ["*"] }
    mask:
      - { collections: [people, "people_*", staff], fields: [email, ssn, salary, rate, born, meta.phone, meta.deep.pin, meta.list.phone, doc, tags, home, alt], with: redact }
      - { collections: [people], fields: [salary], with: "null" }
      - { collections: [people], vectors: drop, scores: hide }
  writer:
    allow:
      - { access: admin, collections: ["*"] }
    mask:
      - { collections: [people, "people_*", staff], fields: [email, ssn, salary, rate, born, meta.phone, meta.deep.pin, meta.list.phone, doc, tags, home, alt], with: redact }
      - { collections: [people], vectors: drop, scores: hide }
  hashed:
    allow: [{ access: read, collections: ["*"] }]
    mask:
      - { collections: [people], fields: [email], with: hash }
      - { collections: [people], fields: [ssn], with: partial }
access:
  - { who: { group: corp:readers }, role: reader, targets: ["*"] }
  - { who: { group: corp:writers }, role: writer, targets: ["*"] }
  - { who: { group: corp:hashers }, role: hashed, targets: ["*"] }
`
export const LINEAGE_USERS = {
  ana: ['corp:readers'],
  wim: ['corp:writers'],
  hal: ['corp:hashers'],
} as const

export const VARIANTS: readonly Variant[] = ['first', 'second']

const ROWS = 8

/** Parts of every masked value of a variant: none may be in what a client is sent. */
export const CANARIES: Readonly<Record<Variant, readonly string[]>> = {
  first: ['kanari', '900-55-4', '7310', '0815.42', '1971-03-', 'qwe7', 'strasz', '0.7317'],
  second: ['zeisig', '800-44-3', '8420', '4711.53', '1983-09-', 'rty8', 'avenue', '0.2931'],
}

function rowOf(variant: Variant, id: number): string {
  const [bird, ssn, salary, rate, born, key, street, part] = CANARIES[variant]
  const hidden = [
    `'${bird}${id}@leak.test'`,
    `'${ssn}${String(id).padStart(3, '0')}'`,
    `${salary}${id}`,
    `${rate}${id}`,
    `'${born}1${id % 10}'`,
  ]
  const meta = `{"city":"c${id % 3}","phone":"${key}-${id}","deep":{"pin":"${key}${id}","open":${id}},"list":[{"phone":"${key}x"}]}`
  const rest = [
    `'${meta}'`,
    `'{"k":"${key}","n":${id}}'`,
    `ARRAY['${bird}${id}','${key}']`,
    `ROW('${street}',${salary}${id})`,
    `'${bird}${id}'`,
    `'[${part}${id},${id},1]'`,
  ]
  const nothing = id % 4 === 0
  return `(${[id, `'t${id % 2}'`, `'name ${id}'`, ...(nothing ? hidden.map(() => 'NULL') : hidden), ...(id === 5 ? rest.map(() => 'NULL') : rest)].join(', ')})`
}

/** The schema and rows of a variant. */
export function lineageSql(variant: Variant): string {
  const rows = Array.from({ length: ROWS }, (_, index) => rowOf(variant, index + 1)).join(',\n')
  return `
CREATE EXTENSION vector;
CREATE DOMAIN mail AS text;
CREATE TYPE addr AS (street text, zip int);
CREATE TABLE people(id int PRIMARY KEY, team text, name text, email text, ssn varchar(20) UNIQUE, salary int,
  rate numeric, born date, meta jsonb, doc json, tags text[], home addr, alt mail, emb vector(3),
  initial text GENERATED ALWAYS AS ("left"(email, 3)) STORED, title text GENERATED ALWAYS AS ('Dr ' || name) STORED);
INSERT INTO people(id, team, name, email, ssn, salary, rate, born, meta, doc, tags, home, alt, emb) VALUES ${rows};
CREATE TABLE notes(id int PRIMARY KEY, person int, words text, mail text);
INSERT INTO notes SELECT g, g % 8 + 1, 'note ' || g, 'm' || g FROM generate_series(1, 12) g;
CREATE TABLE linked(id int PRIMARY KEY, ssn varchar(20) REFERENCES people(ssn));
CREATE VIEW contacts AS SELECT id AS key, email AS mail, lower(email) AS low, name FROM people;
CREATE VIEW contacts_again AS SELECT key, mail AS m, name AS n FROM contacts WHERE key < 7;
CREATE VIEW rich AS SELECT id, name FROM people WHERE salary > 73104;
CREATE MATERIALIZED VIEW kept AS SELECT id, email AS address, team FROM people;
CREATE TABLE people_parted(id int, email text, word text) PARTITION BY RANGE (id);
CREATE TABLE people_low PARTITION OF people_parted FOR VALUES FROM (0) TO (5);
CREATE TABLE people_high PARTITION OF people_parted FOR VALUES FROM (5) TO (100);
INSERT INTO people_parted SELECT id, email, name FROM people;
CREATE TABLE staff(id int, email text, badge text);
CREATE TABLE managers(level int) INHERITS (staff);
INSERT INTO managers SELECT id, email, name, id FROM people;
ANALYZE;
`
}
