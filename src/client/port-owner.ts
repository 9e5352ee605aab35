// Owns the answer to "who listens on this port": on Linux, for one's own processes, from /proc. Must never need rights
// that a user does not have, nor take long.

import { readdir, readFile, readlink } from 'node:fs/promises'

/** State LISTEN of /proc/net/tcp. */
const LISTEN = '0A'

/** Such as `node, process 4711`; undefined when it cannot be seen: another system, or another user's process. */
export async function portOwner(port: number): Promise<string | undefined> {
  try {
    const inodes = await listeningInodes(port)
    if (inodes.size === 0) return undefined
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid) || !(await holds(pid, inodes))) continue
      const name = (await readFile(`/proc/${pid}/comm`, 'utf8')).trim()
      return `${name}, process ${pid}`
    }
    return 'a process of another user'
  } catch {
    // No /proc: the answer is a comfort, and its absence no failure.
    return undefined
  }
}

async function listeningInodes(port: number): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1)
    for (const line of lines) {
      const columns = line.trim().split(/\s+/)
      const [, local = '', , state] = columns
      if (local.endsWith(suffix) && state === LISTEN) inodes.add(columns[9] ?? '')
    }
  }
  return inodes
}

async function holds(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const links = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const link of links) {
    const goal = await readlink(`/proc/${pid}/fd/${link}`).catch(() => '')
    const inode = /^socket:\[(\d+)\]$/.exec(goal)?.[1]
    if (inode !== undefined && inodes.has(inode)) return true
  }
  return false
}
