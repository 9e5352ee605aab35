// Owns recorded results as a table that fits a terminal. Values are neutralised; vectors are shown as `vector(n)`.

import { neutralize } from './neutralize.js'
import { columnsOf, cut, padTo } from './width.js'

const MOST_COLUMN = 40
const LEAST_COLUMN = 6
/** What a cell costs beside its text: a border and two spaces. */
const CELL_FRAME = 3

/** A recorded value as people read it. Not yet cut. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'string') return neutralize(value)
  if (typeof value !== 'object') return neutralize(String(value))
  if ('vector' in value && typeof value.vector === 'number') return `vector(${value.vector})`
  if ('head' in value && 'bytes' in value && typeof value.head === 'string') {
    const bytes = typeof value.bytes === 'number' ? value.bytes : '?'
    return `${neutralize(value.head)}… (${bytes} bytes)`
  }
  return neutralize(JSON.stringify(value))
}

/**
 * Lines of a table; none without columns or rows. Columns that do not fit are counted in the last one. Without a
 * finite width nothing is cut: long values run over their column.
 */
export function renderTable(
  columns: readonly string[],
  rows: readonly (readonly unknown[])[],
  width: number,
): readonly string[] {
  if (columns.length === 0 || rows.length === 0) return []
  const kept = fittingColumns(columns, rows, width)
  const hidden = columns.length - kept
  const head = columns.slice(0, kept).map(neutralize)
  const cells = rows.map((row) => head.map((_, index) => cellText(row[index])))
  if (hidden > 0) {
    head.push(`+${hidden}`)
    for (const row of cells) row.push('…')
  }
  const widths = columnWidths([head, ...cells], width)
  const rule = (left: string, middle: string, right: string): string =>
    `${left}${widths.map((inner) => '─'.repeat(inner + 2)).join(middle)}${right}`
  const line = (row: readonly string[]): string =>
    `│${row.map((cell, index) => ` ${fitted(cell, widths[index] ?? 1, width)} `).join('│')}│`
  return [
    rule('┌', '┬', '┐'),
    line(head),
    rule('├', '┼', '┤'),
    ...cells.map(line),
    rule('└', '┴', '┘'),
  ]
}

/** How many columns fit, at least one; where not all do, with room for the one that counts the others. */
function fittingColumns(
  columns: readonly string[],
  rows: readonly (readonly unknown[])[],
  width: number,
): number {
  const leastOf = (name: string, index: number): number =>
    widestOf([neutralize(name), ...rows.map((row) => cellText(row[index]))], LEAST_COLUMN)
  const count = `+${columns.length}`.length + CELL_FRAME
  let used = 1
  let kept = 0
  for (const [index, name] of columns.entries()) {
    used += leastOf(name, index) + CELL_FRAME
    if (used + (index === columns.length - 1 ? 0 : count) > width) break
    kept += 1
  }
  return Math.max(1, kept)
}

/** Columns of the widest text, 1 to `most`. A loop: there may be more rows than a call takes arguments. */
function widestOf(texts: readonly string[], most: number): number {
  let widest = 1
  for (const text of texts) {
    widest = Math.max(widest, columnsOf(text))
    if (widest >= most) return most
  }
  return widest
}

function fitted(cell: string, column: number, width: number): string {
  return padTo(Number.isFinite(width) ? cut(cell, column) : cell, column)
}

/** Text widths that fit beside each other: what they need, cut evenly from the widest down. */
function columnWidths(cells: readonly (readonly string[])[], width: number): readonly number[] {
  const columns = cells[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, column) =>
    widestOf(
      cells.map((row) => (row[column] ?? '').slice(0, MOST_COLUMN)),
      MOST_COLUMN,
    ),
  )
  let over = widths.reduce((sum, one) => sum + one + CELL_FRAME, 1) - width
  while (over > 0) {
    const widest = widths.indexOf(Math.max(...widths))
    if ((widths[widest] ?? 0) <= 1) break
    widths[widest] = (widths[widest] ?? 0) - 1
    over -= 1
  }
  return widths
}
