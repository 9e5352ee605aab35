// Owns how times, tables and shell words look to people.

import { neutralize } from '../audit/neutralize.js'
import { visible } from './output.js'

/** `14:32 (in 1 h 5 min)`; with the date when it is not today. */
export function whenText(iso: string, now: number): string {
  const time = new Date(iso)
  if (Number.isNaN(time.getTime())) return visible(iso)
  const clock = time.toTimeString().slice(0, 5)
  const sameDay = time.toDateString() === new Date(now).toDateString()
  return `${sameDay ? '' : `${time.toISOString().slice(0, 10)} `}${clock} (${leftText(time.getTime() - now)})`
}

/** `2026-11-22 04:31:10Z`: a moment in a list. */
export function momentText(iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')}Z`
}

function leftText(ms: number): string {
  if (ms < 0) return 'over'
  const minutes = Math.round(ms / 60_000)
  if (minutes < 1) return `in ${Math.round(ms / 1000)} s`
  if (minutes < 60) return `in ${minutes} min`
  const rest = minutes % 60
  return rest === 0 ? `in ${minutes / 60} h` : `in ${Math.floor(minutes / 60)} h ${rest} min`
}

/** Columns for people: plain, aligned, no frames, so that it can be piped. */
export async function tableText(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  const { default: Table } = await import('cli-table3')
  const none = Object.fromEntries(
    [
      'top',
      'top-mid',
      'top-left',
      'top-right',
      'bottom',
      'bottom-mid',
      'bottom-left',
      'bottom-right',
      'left',
      'left-mid',
      'mid',
      'mid-mid',
      'right',
      'right-mid',
    ].map((name) => [name, '']),
  )
  const table = new Table({
    head: [...head],
    chars: { ...none, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  for (const row of rows) table.push(row.map(visible))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

/** One word for a shell. Control characters, which no terminal should be sent, are spelled as bash and zsh read them. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  if (neutralize(text) === text) return `'${text.replaceAll("'", `'\\''`)}'`
  const spelled = [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
  return `$'${spelled.join('')}'`
}

/** Text indented by two spaces for each level. */
export function indent(text: string, level = 1): string {
  const space = '  '.repeat(level)
  return text
    .split('\n')
    .map((line) => `${space}${line}`)
    .join('\n')
}

/** Seconds of `30m`, `1h`, `90s`, `1h30m`, or undefined for anything else. */
export function durationSeconds(text: string): number | undefined {
  const parts = /^(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?$/.exec(text)
  if (parts === null || text === '') return undefined
  const [, d, h, m, s] = parts.map((part) => Number(part ?? 0))
  const seconds = (d ?? 0) * 86_400 + (h ?? 0) * 3_600 + (m ?? 0) * 60 + (s ?? 0)
  return seconds > 0 ? seconds : undefined
}
