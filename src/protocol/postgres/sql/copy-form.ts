// Owns what COPY … FROM STDIN says of the rows that will come: their format, and where the key stands in them.

import type { Relation } from '../catalogue.js'
import type { CopyForm } from '../statement.js'
import { expectNode, type Fields, isFields, list, tagOf, text } from './tree.js'

/** Under these not every row that comes is written, or not as it came. */
const UNSURE = ['default', 'on_error', 'reject_limit']

/** The form of the rows; `columns` as the statement names them, else those of the table. */
export function copyForm(fields: Fields, relation: Relation, columns: readonly string[]): CopyForm {
  const options = new Map(
    list(fields['options']).map((each) => {
      const option = expectNode(each, 'DefElem')
      return [text(option['defname']), option['arg']] as const
    }),
  )
  const named = wordOf(options.get('format'))
  const format = named === 'csv' || named === 'binary' ? named : 'text'
  const byte = (name: string, otherwise: string): number =>
    (wordOf(options.get(name)) ?? otherwise).charCodeAt(0)
  const quote = byte('quote', '"')
  const key = relation.keys.find((each) => each.length === 1)?.[0]
  const at = key === undefined ? -1 : columns.indexOf(key)
  const type = relation.columns.find((each) => each.name === key)?.typeOid
  const sure = fields['whereClause'] === undefined && !UNSURE.some((option) => options.has(option))
  return {
    format,
    delimiter: byte('delimiter', format === 'csv' ? ',' : '\t'),
    quote,
    escapeBy: byte('escape', String.fromCharCode(quote)),
    header: options.has('header') && !isOff(options.get('header')),
    columns: columns.length,
    ...(at < 0 || type === undefined || !sure
      ? {}
      : { key: { collection: relation.collection, at, type } }),
  }
}

function wordOf(value: unknown): string | undefined {
  return isFields(value) && tagOf(value) === 'String'
    ? text(expectNode(value, 'String')['sval'])
    : undefined
}

function isOff(value: unknown): boolean {
  if (!isFields(value)) return false
  const tag = tagOf(value)
  if (tag === 'Boolean') return expectNode(value, 'Boolean')['boolval'] !== true
  if (tag === 'Integer') return (expectNode(value, 'Integer')['ival'] ?? 0) === 0
  return /^(?:off|false|0)$/i.test(wordOf(value) ?? '')
}
