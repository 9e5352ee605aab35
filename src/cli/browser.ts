// Owns opening a page in the user's browser.

/** Only web pages are opened: a provider must not start anything else. Failing to is no failure: the address is shown. */
export async function openBrowser(address: string): Promise<void> {
  const { protocol } = new URL(address)
  if (protocol !== 'https:' && protocol !== 'http:') return
  const { default: open } = await import('open')
  await open(address).then(
    (child) => child.on('error', () => {}),
    () => {},
  )
}
