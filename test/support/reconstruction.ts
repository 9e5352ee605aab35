// Owns attacks that rebuild a hidden embedding from distances to vectors of the attacker's choice. Each is the best that
// its probes allow, as far as we know; none knows anything of the embedding beforehand.

export type AskedMetric = 'l2' | 'cosine' | 'inner' | 'l1'

/** Distances of every row to one vector, in the order of the rows; null where they are withheld. One probe. */
export type Ask = (metric: AskedMetric, vector: readonly number[]) => Promise<(number | null)[]>

/** A random source of numbers in [0, 1), the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A random vector of length 1. */
export function unitVector(size: number, random: () => number): number[] {
  const gauss = (): number =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const found = Array.from({ length: size }, gauss)
  const norm = Math.hypot(...found)
  return found.map((each) => each / norm)
}

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, each, index) => sum + each * (b[index] ?? 0), 0)

const axis = (size: number, at: number, length: number): number[] =>
  Array.from({ length: size }, (_, index) => (index === at ? length : 0))

/** Rows of a Hadamard matrix: the directions in which the sum of absolute differences tells most. Size: a power of two. */
const signs = (size: number, row: number): number[] =>
  Array.from({ length: size }, (_, column) => {
    let bits = row & column
    let sign = 1
    for (; bits > 0; bits &= bits - 1) sign = -sign
    return sign
  })

/**
 * One probe for each dimension (two for l2), with vectors `scale` long: what every row is taken for. `divided`: inner
 * products come without the length. A row whose distances are withheld is all zeros.
 */
export async function byAxes(
  ask: Ask,
  metric: AskedMetric,
  size: number,
  { scale, divided }: { readonly scale: number; readonly divided: boolean },
): Promise<number[][]> {
  const told: number[][] = []
  for (let at = 0; at < size; at += 1) {
    if (metric === 'l2') {
      const far = await ask(metric, axis(size, at, -scale))
      const near = await ask(metric, axis(size, at, scale))
      told.push(far.map((each, row) => ((each ?? 0) ** 2 - (near[row] ?? 0) ** 2) / (4 * scale)))
    } else if (metric === 'l1') {
      const vector = signs(size, at).map((each) => each * scale)
      const given = await ask(metric, vector)
      told.push(given.map((each) => (each === null ? 0 : scale * size - each)))
    } else {
      const given = await ask(metric, axis(size, at, scale))
      const by = metric === 'inner' && !divided ? -scale : -1
      told.push(
        given.map((each) => (each === null ? 0 : metric === 'cosine' ? 1 - each : each / by)),
      )
    }
  }
  const rows = told[0]?.length ?? 0
  return Array.from({ length: rows }, (_, row) => {
    const values = told.map((each) => each[row] ?? 0)
    return metric === 'l1'
      ? values.map((_, index) => dot(signs(size, index), values) / size)
      : values
  })
}

/** Moves the vector until the rounded distance of one row changes, halving the way: `turns` probes for each of two sides. */
export async function byMoving(
  ask: Ask,
  size: number,
  options: { readonly row: number; readonly step: number; readonly turns: number },
): Promise<number[]> {
  const { row, step, turns } = options
  const found: number[] = []
  for (let at = 0; at < size; at += 1) {
    const side = async (sign: number): Promise<{ at: number; square: number }> => {
      const told = async (length: number): Promise<number> =>
        (await ask('l2', axis(size, at, sign * length)))[row] ?? 0
      const first = await told(2)
      // The distance changes by less than the vector is moved, by more than a third of it.
      let [low, high] = [2, 2 + 3 * step]
      for (let turn = 0; turn < turns; turn += 1) {
        const middle = (low + high) / 2
        if ((await told(middle)) > first) high = middle
        else low = middle
      }
      return { at: (low + high) / 2, square: (first + step / 2) ** 2 }
    }
    const far = await side(-1)
    const near = await side(1)
    const difference = far.square - near.square - far.at ** 2 + near.at ** 2
    found.push(difference / (2 * (far.at + near.at)))
  }
  return found
}

/** Places of known vectors and of one unknown, by distance to random vectors: the order alone. */
export async function byRanks(
  order: (vector: readonly number[]) => Promise<readonly number[]>,
  known: ReadonlyMap<number, readonly number[]>,
  options: { readonly hidden: number; readonly probes: number; readonly random: () => number },
): Promise<number[]> {
  const size = known.values().next().value?.length ?? 0
  const equations: number[][] = []
  for (let probe = 0; probe < options.probes; probe += 1) {
    const vector = unitVector(size, options.random)
    const ids = await order(vector)
    const place = ids.indexOf(options.hidden)
    const distance = (id: number | undefined): number | undefined => {
      const other = id === undefined ? undefined : known.get(id)
      return other && Math.hypot(...other.map((each, index) => each - (vector[index] ?? 0)))
    }
    const bounds = [distance(ids[place - 1]), distance(ids[place + 1])].filter(
      (each) => each !== undefined,
    )
    const middle = bounds.reduce((sum, each) => sum + each, 0) / bounds.length
    // d² = |x|² − 2 q·x + |q|²
    equations.push([...vector.map((each) => -2 * each), 1, middle ** 2 - 1])
  }
  return leastSquares(equations, size + 1).slice(0, size)
}

/** Solves by the normal equations; the last number of each row is the right side. */
function leastSquares(rows: readonly (readonly number[])[], size: number): number[] {
  const matrix = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size + 1 }, (_, j) =>
      rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), i === j ? 1e-9 : 0),
    ),
  )
  for (let pivot = 0; pivot < size; pivot += 1) {
    const line = matrix[pivot] ?? []
    for (const [index, other] of matrix.entries()) {
      if (index === pivot) continue
      const factor = (other[pivot] ?? 0) / (line[pivot] ?? 1)
      for (let at = pivot; at <= size; at += 1)
        other[at] = (other[at] ?? 0) - factor * (line[at] ?? 0)
    }
  }
  return matrix.map((row, index) => (row[size] ?? 0) / (row[index] ?? 1))
}

/** How near a guess is: root mean square error of a component, and cosine of the angle to the truth (0 for no guess). */
export function nearness(
  guess: readonly number[],
  truth: readonly number[],
): { readonly error: number; readonly cosine: number } {
  const error = Math.hypot(...guess.map((each, index) => each - (truth[index] ?? 0)))
  const length = Math.hypot(...guess) * Math.hypot(...truth)
  return {
    error: error / Math.sqrt(truth.length),
    cosine: length === 0 ? 0 : dot(guess, truth) / length,
  }
}
