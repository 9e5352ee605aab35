// Owns code of this repository in a file that a process of its own can run: the sources are TypeScript, and what the
// build writes has no place for one part alone.

import { join, parse } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Puts a source, named from the top folder, and what it imports into one file; answers its path. */
export async function bundled(source: string): Promise<string> {
  // As deep as the sources, which find the top folder by that; npm's packages stay outside.
  const file = join(root, '.cache', 'bundled', `${parse(source).name}.js`)
  const build = await rolldown({ input: join(root, source), platform: 'node', external: /^[^./]/ })
  await build.write({ file, codeSplitting: false })
  await build.close()
  return file
}
