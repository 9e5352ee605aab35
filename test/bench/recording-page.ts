// Owns the section of docs/benchmarks.md on recordings: what was measured, beside its target. Other benchmarks write the
// rest of the page and keep this section as it is.

const HEADING = '## Recording'

export interface RecordingResults {
  readonly machine: string
  readonly load: number
  readonly rounds: number
  /** One value a round. */
  readonly durablePerSecond: readonly number[]
  readonly bytesPerRecord: readonly number[]
  readonly cpuPerRecord: readonly number[]
  readonly cpuPerOperation: readonly number[]
  readonly bytesPerOperation: readonly number[]
  readonly verifyMegabytes: readonly number[]
  readonly verifyCpuMegabytes: readonly number[]
  readonly verifyOneMegabytes: readonly number[]
  readonly readMegabytes: readonly number[]
  readonly smallBlockMegabytes: readonly number[]
  readonly hashMegabytes: readonly number[]
}

/** The page with its section on recordings replaced, or put at its end. */
export function withRecordingSection(page: string, section: string): string {
  const rest = `${withoutSection(page).trimEnd()}\n`
  return section === '' ? rest : `${rest}\n${section.trimEnd()}\n`
}

/** The section as it stands in a page; empty where there is none. */
export function recordingSection(page: string): string {
  const from = page.indexOf(HEADING)
  return from < 0 ? '' : page.slice(from, endOf(page, from))
}

function withoutSection(page: string): string {
  const from = page.indexOf(HEADING)
  return from < 0 ? page : page.slice(0, from) + page.slice(endOf(page, from))
}

function endOf(page: string, from: number): number {
  const next = page.indexOf('\n## ', from)
  return next < 0 ? page.length : next + 1
}

/** The section as Markdown. */
export function recordingPage(results: RecordingResults): string {
  const noisy = results.load > 0.5
  const row = (
    what: string,
    values: readonly number[],
    digits: number,
    target?: { readonly text: string; readonly met: (median: number) => boolean },
  ): string => {
    const verdict =
      target === undefined
        ? ''
        : `${target.met(median(values)) ? 'met' : 'missed'}${noisy ? ', noisy' : ''}`
    return `| ${what} | ${target?.text ?? '–'} | ${shown(values, digits)} | ${verdict} |`
  }
  return [
    HEADING,
    `Written by the benchmark of recordings; ${results.machine}, load ${results.load.toFixed(1)} at the start${noisy ? ' (**noisy**: other work had most of both cores, which stretches CPU time too; nothing here decides whether a target of time is met)' : ''}, ${results.rounds} rounds; medians, lowest and highest in brackets. A record is one of a pair: an \`operation.judged\` of a prepared select by key with one parameter, and its \`operation.delivered\` with a row of two text columns; about 330 bytes of JSON each. \`durable\` appends groups of 500 and has every group fsynced on the disk of the temporary folder; CPU is user and system time of the process. Verification is of 300 MB of such records (2,000 groups over and over) with a checkpoint every 50,000, by a thread for each processor; MB are 10^6 stored bytes, from the page cache.`,
    '',
    '| | target | measured | |',
    '|---|---|---|---|',
    row('durable records/s by group commit', results.durablePerSecond, 0, {
      text: '≥ 100,000',
      met: (found) => found >= 100_000,
    }),
    row('stored bytes per record, groups of 500', results.bytesPerRecord, 1, {
      text: '≤ 40',
      met: (found) => found <= 40,
    }),
    row('CPU per record, groups of 500, µs', results.cpuPerRecord, 1),
    row('CPU per operation in a session, µs', results.cpuPerOperation, 1),
    row('stored bytes per operation in a session', results.bytesPerOperation, 0),
    row('verification, MB/s of stored bytes', results.verifyMegabytes, 0, {
      text: '≥ 500',
      met: (found) => found >= 500,
    }),
    row('the same, per second of CPU', results.verifyCpuMegabytes, 0),
    row('verification by one thread, MB/s', results.verifyOneMegabytes, 0),
    row('SHA-512/256 alone, blocks of 7.5 KB, MB per second of CPU', results.hashMegabytes, 0),
    row('verification with every record read, MB/s', results.readMegabytes, 0),
    row('verification of a session of single operations, MB/s', results.smallBlockMegabytes, 0),
    '',
    'In a session each operation is handed to the operating system before it is forwarded, so a client that waits for each answer makes a block of its own for each: uncompressed, hashed alone, and slower to verify than full groups. Of the time that verification takes, a little more than half is SHA-512/256, which one processor does block by block; the rest is reading, signatures and the heads of blocks. Threads share it in stretches of 2 MB.',
  ].join('\n')
}

function shown(values: readonly number[], digits: number): string {
  const number = (value: number): string =>
    value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return `${number(median(values))} (${number(Math.min(...values))}–${number(Math.max(...values))})`
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
