import { describe, expect, it } from 'vitest'
import { readDocuments, readVocabulary } from '../../../src/demo/documents.js'
import { embedPhrase, vectorLiteral } from '../../../src/demo/embed.js'

const documents = readDocuments()
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
const nearest = (phrase: string, count: number) => {
  const vector = embedPhrase(phrase)
  return [...documents]
    .sort((a, b) => dot(b.embedding, vector) - dot(a.embedding, vector))
    .slice(0, count)
}

describe('the demo’s data', () => {
  it('has documents with ascending ids and embeddings of length 1', () => {
    expect(documents.length).toBeGreaterThan(2000)
    for (const [index, document] of documents.entries()) {
      expect(document.id).toBe(index + 1)
      expect(document.embedding).toHaveLength(100)
      expect(Math.abs(dot(document.embedding, document.embedding) - 1)).toBeLessThan(1e-9)
    }
  })

  it('holds no address but invented ones', () => {
    for (const { subject, body, email } of documents) {
      expect(email).toMatch(/^[a-z]+\.[a-z]+\d\d@example\.org$/)
      for (const address of `${subject} ${body}`.match(/[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g) ?? []) {
        expect(address).toMatch(/@example\.org\.?$/)
      }
    }
  })

  it('holds no telephone number but fictitious ones, and no foreign link', () => {
    for (const { subject, body } of documents) {
      const text = `${subject} ${body}`
      for (const number of text.match(/\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b/g) ?? [])
        expect(number).toMatch(/^202-555-01\d\d$/)
      for (const link of text.match(/\bhttps?:\/\/\S+/gi) ?? [])
        expect(link).toMatch(/^https:\/\/www\.example\.org\/[0-9a-f]{6}/)
    }
  })

  it.each([
    ['the war in iraq', /iraq/i],
    ['music downloads and copyright', /music|radio|mp3|drm|riaa/i],
    ['problems installing linux on my laptop', /linux|install|redhat|rpm/i],
    ['mobile phones and wireless internet', /wireless|phone|wifi/i],
  ])('finds related documents for %j', (phrase, related) => {
    const found = nearest(phrase, 5)
    expect(
      found.filter(({ subject, body }) => related.test(`${subject} ${body}`)).length,
    ).toBeGreaterThanOrEqual(4)
  })

  it('embeds a phrase with length 1, whatever the order and case of its words', () => {
    const vector = embedPhrase('Linux kernel')
    expect(Math.abs(dot(vector, vector) - 1)).toBeLessThan(1e-9)
    expect(vectorLiteral(embedPhrase('KERNEL, linux!'))).toBe(vectorLiteral(vector))
    expect(vectorLiteral(vector)).toMatch(/^\[-?\d[\d.e,-]+\]$/)
    expect(readVocabulary().words.size).toBe(5000)
  })

  it.each([
    '',
    '12345',
    'xyzzyqq',
    'constructor __proto__',
  ])('refuses %j, of which it knows no word', (phrase) => {
    expect(() => embedPhrase(phrase)).toThrow('the demo knows no word of this phrase')
  })
})
