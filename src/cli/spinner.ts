// Owns the spinner: on a terminal, on stderr, while something is awaited.

import type { Output } from './output.js'

/** Shows `text` while `work` goes on; nothing where nobody watches. */
export async function spin<T>(output: Output, text: string, work: () => Promise<T>): Promise<T> {
  if (!output.interactive) return work()
  const { default: yoctoSpinner } = await import('yocto-spinner')
  const spinner = yoctoSpinner({ text, stream: process.stderr }).start()
  try {
    return await work()
  } finally {
    spinner.stop()
  }
}
