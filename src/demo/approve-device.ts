// Owns the "person in the browser" of the tour and the tests: follows the demo provider's pages with a cookie jar.

interface Page {
  readonly url: string
  readonly status: number
  readonly html: string
}

type Form = Readonly<Record<string, string>>

export type Browser = (url: string, form?: Form) => Promise<Page>

/** A browser with cookies and redirects, and nothing else. */
export function browser(): Browser {
  const jar = new Map<string, string>()
  const open = async (url: string, form?: Form): Promise<Page> => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie },
      ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }),
    })
    for (const line of response.headers.getSetCookie()) {
      const pair = line.split(';')[0] ?? ''
      const at = pair.indexOf('=')
      if (pair.slice(at + 1) === '') jar.delete(pair.slice(0, at))
      else jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
    const location = response.headers.get('location')
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel()
      return open(new URL(location, url).href)
    }
    return { url, status: response.status, html: await response.text() }
  }
  return open
}

/**
 * Approves one device login as one of the demo's people (RFC 8628 §3.3). `verificationUriComplete` carries the code.
 * An unknown `login` is refused by the provider, as a person who closes the page would be. Throws when the pages are not
 * the ones expected.
 */
export async function approveDevice(
  verificationUriComplete: string,
  login: string,
  open: Browser = browser(),
): Promise<void> {
  const address = new URL(verificationUriComplete)
  const base = address.origin + address.pathname
  const code = address.searchParams.get('user_code') ?? ''
  const first = await open(verificationUriComplete)
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(first.html)?.[1]
  if (xsrf === undefined)
    throw new Error(`the provider's device page (${first.status}) has no form`)
  await open(base, { xsrf, user_code: code })
  const people = await open(base, { xsrf, user_code: code, confirm: 'yes' })
  if (!people.url.includes('/interaction/'))
    throw new Error(`the provider did not ask who it is: ${people.url} (${people.status})`)
  const last = await open(people.url, { login })
  if (last.status >= 500) throw new Error(`the provider failed: ${last.status}`)
}
