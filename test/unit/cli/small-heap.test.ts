// The young generation of a process that stays open, in a process of its own: the flags belong to the whole of one.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import ts from 'typescript'
import { expect, it } from 'vitest'

const SOURCE = readFileSync(new URL('../../../src/cli/small-heap.ts', import.meta.url), 'utf8')
const { outputText } = ts.transpileModule(SOURCE, {
  compilerOptions: { module: ts.ModuleKind.ESNext },
})
const MODULE = `data:text/javascript,${encodeURIComponent(outputText)}`

/** Peak of the young generation in MiB while chunks pass through a queue, as they do through a tunnel. */
async function peak(before: string): Promise<{ mib: number; stderr: string }> {
  const code = `
    import { getHeapSpaceStatistics } from 'node:v8'
    ${before}
    const queue = []
    let most = 0
    for (let turn = 0; turn < 3_000; turn += 1) {
      for (let at = 0; at < 100; at += 1) queue.push({ at, text: 'x'.repeat(200) + turn })
      if (queue.length > 5_000) queue.splice(0, 4_000)
      const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
      most = Math.max(most, space.space_size)
    }
    console.log(most / 1024 ** 2)
    process.exit()`
  const args = ['--input-type=module', '-e', code]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
  return { mib: Number(stdout), stderr }
}

const KEPT = `import { keepYoungGenerationSmall } from "${MODULE}"; keepYoungGenerationSmall()`
const WORKER = `
  import { Worker } from 'node:worker_threads'
  await new Promise((done) => new Worker('setTimeout(() => {}, 1)', { eval: true }).once('exit', done))`

it('stays as small as it begins, without a word about unknown flags', async () => {
  const [usual, small] = [await peak(''), await peak(KEPT)]
  expect(small.stderr).toBe('')
  expect(small.mib).toBeLessThanOrEqual(4)
  expect(usual.mib).toBeGreaterThan(3 * small.mib)
})

it('stays so when a thread was started', async () => {
  const { mib } = await peak(`${KEPT}\n${WORKER}`)
  expect(mib).toBeLessThanOrEqual(4)
})
