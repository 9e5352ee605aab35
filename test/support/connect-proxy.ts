// Owns an HTTP proxy on loopback for tests: CONNECT alone, every name means 127.0.0.1, and it remembers who asked for
// what and with which password. Never used by the product.

import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface ConnectProxy {
  readonly port: number
  /** `host:port` of each CONNECT. */
  readonly asked: string[]
  /** `Proxy-Authorization` of each, or ''. */
  readonly credentials: string[]
  /** Requests that were not CONNECT, which none should be. */
  readonly others: string[]
  /** The status that every CONNECT gets instead of a way through. */
  refuse: number | undefined
  /** Cuts what is open. */
  cut(): void
  close(): Promise<void>
}

export async function startConnectProxy(): Promise<ConnectProxy> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
  }
  const proxy: Omit<ConnectProxy, 'port'> = {
    asked: [],
    credentials: [],
    others: [],
    refuse: undefined,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    close: async () => {
      proxy.cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const server = createServer((request, response) => {
    proxy.others.push(`${request.method} ${request.url}`)
    response.writeHead(405).end()
  })
  server.on('connect', (request: IncomingMessage, client: Socket, head: Buffer) => {
    keep(client)
    proxy.asked.push(request.url ?? '')
    proxy.credentials.push(request.headers['proxy-authorization'] ?? '')
    if (proxy.refuse !== undefined) {
      client.end(`HTTP/1.1 ${proxy.refuse} No\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const upstream = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.write(head)
      client.pipe(upstream).pipe(client)
    })
    keep(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(proxy, { port: (server.address() as AddressInfo).port })
}
