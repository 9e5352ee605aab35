// Owns how the player looks: a state becomes exactly as many lines as the terminal has, none wider than it. Pure but
// for what it remembers of records that it has laid out before.

import { neutralize } from '../../audit/neutralize.js'
import { clockText, renderRecord } from '../../audit/render.js'
import type { Colors } from '../../audit/render-parts.js'
import type { Told } from '../../audit/story.js'
import { columnsOf, cut, fold, padTo } from '../../audit/width.js'
import { elapsedMs, KEYS } from './on-key.js'
import { currentSeq, type PlayerState } from './state.js'
import { MARKS } from './survey.js'

export interface Frame {
  readonly lines: readonly string[]
  /** As far as there was something to scroll to. */
  readonly scroll: number
}

/** Rows of a table that can be scrolled through. */
const ROWS = 200
const LEAST_BAR = 6
const HINTS = 'space play · ←→ step · / search · g go to · o filter · +- speed · h keys · q quit'

export class View {
  readonly #color: Colors
  #width = 0
  #startedAt: string | undefined
  #laid = new WeakMap<Told, readonly string[]>()

  constructor(color: Colors) {
    this.#color = color
  }

  /** The picture of a state. */
  frame(state: PlayerState): Frame {
    const bottom = state.height >= 3 ? [this.#bar(state), this.#status(state)] : [this.#bar(state)]
    const height = Math.max(0, state.height - bottom.length)
    const { lines, scroll } = state.help
      ? { lines: this.#help(state.width).slice(0, height), scroll: 0 }
      : this.#body(state, height)
    const blank = Array.from({ length: Math.max(0, height - lines.length) }, () => '')
    return { lines: [...lines, ...blank, ...bottom].slice(-Math.max(1, state.height)), scroll }
  }

  /** The end of what was shown; of a record that is higher than the terminal its beginning. */
  #body(state: PlayerState, height: number): Frame {
    const current = state.shown.at(-1)
    if (current === undefined) return { lines: [], scroll: 0 }
    const currentLines = this.#linesOf(current, state)
    const base = Math.max(0, currentLines.length - height)
    const wanted = Math.max(0, base + state.scroll)
    const parts: (readonly string[])[] = [currentLines]
    let count = currentLines.length
    for (let index = state.shown.length - 2; index >= 0 && count < height + wanted; index -= 1) {
      const told = state.shown[index]
      const lines = told === undefined ? [] : this.#linesOf(told, state)
      parts.push(lines)
      count += lines.length
    }
    const all = parts.reverse().flat()
    const hidden = Math.min(wanted, Math.max(0, all.length - height))
    const end = all.length - hidden
    return { lines: all.slice(Math.max(0, end - height), end), scroll: hidden - base }
  }

  #linesOf(told: Told, state: PlayerState): readonly string[] {
    if (state.width !== this.#width || state.startedAt !== this.#startedAt) {
      this.#laid = new WeakMap()
      this.#width = state.width
      this.#startedAt = state.startedAt
    }
    let lines = this.#laid.get(told)
    if (lines === undefined) {
      const { width, startedAt } = state
      lines = renderRecord(told, { width, startedAt, color: this.#color, maxRows: ROWS })
      this.#laid.set(told, lines)
    }
    return lines
  }

  /** `▶ 2× ━━━●──×── 12/340 0:05/1:20`; what does not fit is left out, the bar first. */
  #bar(state: PlayerState): string {
    const { survey, width } = state
    const speed = state.pace.speed === 0 ? 'max' : `${state.pace.speed}×`
    const left = `${state.playing ? '▶' : '■'} ${speed}`
    const place = `${currentSeq(state)}/${state.total}`
    const whole =
      survey?.endedAt === undefined || state.live
        ? ''
        : `/${clockText(Math.max(0, Date.parse(survey.endedAt) - Date.parse(state.startedAt ?? '')) || 0, 0)}`
    const live = state.live ? ' live' : ''
    const right = `${place} ${clockText(elapsedMs(state), 0)}${whole}${live}`
    const room = width - columnsOf(left) - columnsOf(right) - 2
    if (room >= LEAST_BAR) return `${left} ${this.#line(state, room)} ${right}`
    const short = width - columnsOf(left) - columnsOf(place) - 2
    if (short >= LEAST_BAR) return `${left} ${this.#line(state, short)} ${place}`
    return cut(`${left} ${place}`, width)
  }

  #line(state: PlayerState, width: number): string {
    const { total, survey } = state
    const here = Math.max(0, currentSeq(state) - 1)
    const at = total <= 1 ? 0 : Math.min(width - 1, Math.round((here * (width - 1)) / (total - 1)))
    const { bold, dim, red, yellow } = this.#color
    let line = ''
    for (let column = 0; column < width; column += 1) {
      const from = Math.floor((column * MARKS) / width)
      const until = Math.max(from + 1, Math.floor(((column + 1) * MARKS) / width))
      const marks = survey?.marks.slice(from, until) ?? []
      if (column === at) line += bold('●')
      else if (marks.includes('denied')) line += red('×')
      else if (marks.includes('held')) line += yellow('◆')
      else line += column < at ? '━' : dim('─')
    }
    return line
  }

  #status(state: PlayerState): string {
    const { width } = state
    const { dim, bold, yellow } = this.#color
    if (state.prompt !== undefined) {
      const label = { search: '/', 'search back': '?', 'go to': 'go to: ' }[state.prompt.kind]
      return `${bold(label)}${tail(neutralize(state.prompt.text), width - label.length - 1)}_`
    }
    if (state.busy !== undefined) {
      const record = state.busy.record === 0 ? '' : ` · ${state.busy.record}`
      return yellow(cut(neutralize(`${state.busy.what}${record} · Esc stops`), width))
    }
    if (state.message !== undefined) return yellow(cut(neutralize(state.message), width))
    const filter = state.only === undefined ? '' : `only ${state.only} · `
    const { survey } = state
    const found =
      survey === undefined
        ? ''
        : `${survey.denied} denied, ${survey.held} held, ${survey.masked} masked · `
    return dim(cut(`${filter}${found}${HINTS}`, width))
  }

  #help(width: number): readonly string[] {
    const column = Math.max(...KEYS.map(([keys]) => columnsOf(keys))) + 2
    // On a narrow terminal what a key does stands below it.
    return KEYS.flatMap(([keys, what]) =>
      column + 20 <= width
        ? [cut(`${padTo(keys, column)}${what}`, width)]
        : [keys, ...fold(what, width - 2).map((line) => `  ${line}`)],
    )
  }
}

/** The end of a text that is being typed. */
function tail(text: string, width: number): string {
  let shown = text
  while (columnsOf(shown) > Math.max(0, width)) shown = [...shown].slice(1).join('')
  return shown
}
