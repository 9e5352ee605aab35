// Owns how a record looks in a terminal: its time, and what it says folded to the width. Everything from a record
// goes through `neutralize`; nothing is executed; no colour but through the functions that are handed in.

import { neutralize, neutralizeLines } from './neutralize.js'
import { type Colors, type Part, partsOf } from './render-parts.js'
import { renderTable } from './render-table.js'
import type { Told } from './story.js'
import { fold } from './width.js'

const same = (text: string): string => text
export const noColor: Colors = {
  dim: same,
  bold: same,
  red: same,
  green: same,
  yellow: same,
  cyan: same,
}

export interface RenderOptions {
  /** Columns of the terminal, at least 20. Infinity: nothing is folded, cut or left out. */
  readonly width: number
  readonly color?: Colors
  /** Time of the first record (ISO 8601): times are shown as an offset to it. */
  readonly startedAt?: string | undefined
  /** Rows of a result that are shown; 20 by default. */
  readonly maxRows?: number
  /** Lines of one text that are shown; 200 by default. */
  readonly maxLines?: number
}

interface Layout {
  readonly width: number
  readonly maxRows: number
  readonly maxLines: number
  readonly color: Colors
}

const INDENT = '  '

/** The lines of one record, without line ends, each at most `width` columns wide (colour codes not counted). */
export function renderRecord(told: Told, options: RenderOptions): readonly string[] {
  const whole = options.width === Number.POSITIVE_INFINITY
  const layout: Layout = {
    width: Math.max(20, options.width) - INDENT.length,
    maxRows: options.maxRows ?? (whole ? Number.POSITIVE_INFINITY : 20),
    maxLines: options.maxLines ?? (whole ? Number.POSITIVE_INFINITY : 200),
    color: options.color ?? noColor,
  }
  const time = timeOf(told.record.at, options.startedAt)
  const [head, ...rest] = partsOf(told)
  const beside = layout.width + INDENT.length - time.length - 1
  return [
    ...headLines(head, layout.color.dim(time), beside, layout),
    ...rest.flatMap((part) => linesOf(part, layout)).map((line) => INDENT + line),
  ]
}

/** `+0:01.234` after the start, or the time of day. */
function timeOf(iso: string, startedAt: string | undefined): string {
  const at = Date.parse(iso)
  const start = startedAt === undefined ? Number.NaN : Date.parse(startedAt)
  if (Number.isNaN(at)) return '?'
  if (Number.isNaN(start)) return new Date(at).toISOString().slice(11, 23)
  return `+${clockText(Math.max(0, at - start), 3)}`
}

/** `1:02.345`, or `1:02:03.456` from an hour on, with so many digits behind the point. */
export function clockText(ms: number, digits: 0 | 3): string {
  const seconds = Math.floor(ms / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor(seconds / 60) % 60
  const point = digits === 0 ? '' : `.${String(Math.floor(ms % 1000)).padStart(3, '0')}`
  const tail = `${two(seconds % 60)}${point}`
  return hours === 0 ? `${minutes}:${tail}` : `${hours}:${two(minutes)}:${tail}`
}

/** The first part begins beside the time; the rest of it is indented. */
function headLines(
  head: Part | undefined,
  time: string,
  beside: number,
  layout: Layout,
): readonly string[] {
  if (head?.kind !== 'line') return [time]
  const text = neutralize(head.text.trim())
  const mark = neutralize(head.mark ?? '')
  const whole = mark === '' ? text : `${mark} ${text}`
  const paint = painter(layout.color, head.color)
  const [first = ''] = fold(whole, beside, 1)
  const rest = whole.slice(first.length).trimStart()
  const marked = mark !== '' && first.startsWith(mark)
  const painted = marked ? `${paint(mark)}${first.slice(mark.length)}` : paint(first)
  const restPaint = mark === '' ? paint : same
  const folded = rest === '' ? [] : fold(rest, layout.width, layout.maxLines)
  return [`${time} ${painted}`, ...folded.map((line) => INDENT + restPaint(line))]
}

function linesOf(part: Part, layout: Layout): readonly string[] {
  if (part.kind === 'table') return tableLines(part, layout)
  const { width, maxLines, color } = layout
  const lines = part.kind === 'text' ? neutralizeLines(part.text) : [neutralize(part.text.trim())]
  const paint = painter(color, part.color)
  const shown: string[] = []
  for (const [index, line] of lines.entries()) {
    if (shown.length >= maxLines) {
      return [...shown, color.dim(`… ${lines.length - index} more lines`)]
    }
    shown.push(...fold(line, width, maxLines - shown.length).map(paint))
  }
  return shown
}

function tableLines(
  part: Extract<Part, { readonly kind: 'table' }>,
  { width, maxRows, color }: Layout,
): readonly string[] {
  const rows = part.rows.slice(0, maxRows)
  const table = renderTable(part.columns, rows, width)
  const left = part.rowCount - rows.length
  return table.length > 0 && left > 0 ? [...table, color.dim(`… ${left} more rows`)] : table
}

function painter(color: Colors, name: keyof Colors | undefined): (text: string) => string {
  return name === undefined ? same : (text) => color[name](text)
}
