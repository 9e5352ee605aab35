// Owns the question whether a host name means this machine. By its letters alone: a name that merely resolves to
// loopback does not count.

/** True for literal loopback addresses and `localhost`. */
export function isLoopbackHost(host: string): boolean {
  return (
    host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
  )
}
