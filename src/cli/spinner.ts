// Owns the spinner: on a terminal, on stderr, while something is awaited.

import type { Output } from './output.js'

/** Shows `text`, or what `work` says instead, while it goes on; nothing where nobody watches. */
export async function spin<T>(
  output: Output,
  text: string,
  work: (show: (text: string) => void) => Promise<T>,
): Promise<T> {
  if (!output.interactive) return work(() => undefined)
  const { default: yoctoSpinner } = await import('yocto-spinner')
  const spinner = yoctoSpinner({ text, stream: process.stderr }).start()
  try {
    return await work((instead) => {
      spinner.text = instead
    })
  } finally {
    spinner.stop()
  }
}
