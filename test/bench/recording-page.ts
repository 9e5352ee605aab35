// Owns the section of docs/benchmarks.md on recordings: what was measured, beside its target.

export const RECORDING_HEADING = 'Recording'

/** What one round found. */
export interface RecordingRound {
  readonly durablePerSecond: number
  readonly bytesPerRecord: number
  readonly cpuPerRecord: number
  readonly cpuPerOperation: number
  readonly bytesPerOperation: number
  readonly verifyMegabytes: number
  readonly verifyCpuMegabytes: number
  readonly verifyOneMegabytes: number
  readonly readMegabytes: number
  readonly smallBlockMegabytes: number
  readonly hashMegabytes: number
}

export interface RecordingResults {
  readonly machine: string
  readonly load: number
  readonly rounds: readonly RecordingRound[]
}

/** The section as Markdown. */
export function recordingPage(results: RecordingResults): string {
  const noisy = results.load > 0.5
  const row = (
    what: string,
    which: keyof RecordingRound,
    digits: number,
    target?: { readonly text: string; readonly met: (median: number) => boolean },
  ): string => {
    const values = results.rounds.map((round) => round[which])
    const verdict =
      target === undefined
        ? ''
        : `${target.met(median(values)) ? 'met' : 'missed'}${noisy ? ', noisy' : ''}`
    return `| ${what} | ${target?.text ?? '–'} | ${shown(values, digits)} | ${verdict} |`
  }
  return [
    `## ${RECORDING_HEADING}`,
    `Written by the benchmark of recordings; ${results.machine}, load ${results.load.toFixed(1)} at the start${noisy ? ' (**noisy**: other work had most of both cores, which stretches CPU time too; nothing here decides whether a target of time is met)' : ''}, ${results.rounds.length} rounds, each in a process of its own; medians, lowest and highest in brackets. A record is one of a pair: an \`operation.judged\` of a prepared select by key with one parameter, and its \`operation.delivered\` with a row of two text columns; about 330 bytes of JSON each. \`durable\` appends groups of 500 and has every group fsynced on the disk of the temporary folder; CPU is user and system time of the process. Verification is of 300 MB of such records (2,000 groups over and over) with a checkpoint every 50,000, by a thread for each processor; MB are 10^6 stored bytes, from the page cache.`,
    '',
    '| | target | measured | |',
    '|---|---|---|---|',
    row('durable records/s by group commit', 'durablePerSecond', 0, {
      text: '≥ 100,000',
      met: (found) => found >= 100_000,
    }),
    row('stored bytes per record, groups of 500', 'bytesPerRecord', 1, {
      text: '≤ 40',
      met: (found) => found <= 40,
    }),
    row('CPU per record, groups of 500, µs', 'cpuPerRecord', 1),
    row('CPU per operation in a session, µs', 'cpuPerOperation', 1),
    row('stored bytes per operation in a session', 'bytesPerOperation', 0),
    row('verification, MB/s of stored bytes', 'verifyMegabytes', 0, {
      text: '≥ 500',
      met: (found) => found >= 500,
    }),
    row('the same, per second of CPU', 'verifyCpuMegabytes', 0),
    row('verification by one thread, MB/s', 'verifyOneMegabytes', 0),
    row('SHA-512/256 alone by all processors, blocks of 7.5 KB, MB/s', 'hashMegabytes', 0),
    row('verification with every record read, MB/s', 'readMegabytes', 0),
    row('verification of a session of single operations, MB/s', 'smallBlockMegabytes', 0),
    '',
    'In a session each operation is handed to the operating system before it is forwarded, so a client that waits for each answer makes a block of its own for each: uncompressed, hashed alone, and slower to verify than full groups. Of the time that verification takes, two thirds is SHA-512/256; the rest is signatures, reading and the heads of blocks. Threads share it in stretches of 2 MB. What all processors reach with nothing but SHA-512/256 is the most that any verifier reaches on this machine.',
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
