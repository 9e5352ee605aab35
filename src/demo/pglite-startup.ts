// Owns reading the start-up packet's parameters (PostgreSQL docs, "Message Formats", StartupMessage). Pure.

const NOT_SETTINGS = new Set(['user', 'database', 'replication', 'options'])

/** Name and value of each parameter, from the packet's strings. */
export function startupParameters(words: readonly string[]): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>()
  for (let i = 0; i + 1 < words.length && words[i] !== ''; i += 2) {
    parameters.set(words[i] ?? '', words[i + 1] ?? '')
  }
  return parameters
}

/** The parameters that are settings, those of `options` last. */
export function startupSettings(
  parameters: ReadonlyMap<string, string>,
): readonly (readonly [string, string])[] {
  const named = [...parameters].filter(
    ([name]) => !NOT_SETTINGS.has(name) && !name.startsWith('_pq_.'),
  )
  return [...named, ...commandLineSettings(parameters.get('options') ?? '')]
}

/** `-c name=value` and `--name=value` of the start-up parameter `options`. */
function commandLineSettings(options: string): [string, string][] {
  const words =
    options.match(/(?:\\.|[^\s\\])+/g)?.map((word) => word.replace(/\\(.)/g, '$1')) ?? []
  const pairs = words.flatMap((word, index) => {
    if (word.startsWith('--')) return [word.slice(2)]
    if (word === '-c') return [words[index + 1] ?? '']
    return word.startsWith('-c') ? [word.slice(2)] : []
  })
  return pairs.map((pair) => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at).replaceAll('-', '_'), pair.slice(at + 1)]
  })
}
