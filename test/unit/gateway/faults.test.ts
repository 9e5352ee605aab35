import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FAULT_STOP_MS, watchFaults } from '../../../src/gateway/faults.js'

class Process extends EventEmitter {
  readonly exits: number[] = []
  exit(code: number): void {
    this.exits.push(code)
  }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function watched() {
  const source = new Process()
  const logged: unknown[] = []
  const faults = watchFaults(source, { fatal: (entry: unknown) => void logged.push(entry) })
  return { source, logged, faults }
}

test.each([
  'uncaughtException',
  'unhandledRejection',
])('%s is logged and ends the gateway', async (event) => {
  const { source, logged, faults } = watched()
  const fault = Object.assign(new Error('planted'), { row: 'ann@example.com' })
  source.emit(event, fault)
  const told = await faults.first
  expect([told.code, told.faces.exit, told.cause]).toEqual(['VGATE_UNEXPECTED', 1, fault])
  expect(logged).toMatchObject([{ event: 'gateway.fault', failure: { message: 'planted' } }])
  expect(JSON.stringify(logged)).not.toContain('ann@example.com')
})

test('a stop that does not end is ended', () => {
  const { source } = watched()
  source.emit('uncaughtException', new Error('planted'))
  vi.advanceTimersByTime(FAULT_STOP_MS / 2)
  source.emit('uncaughtException', new Error('another'))
  expect(source.exits).toEqual([])
  vi.advanceTimersByTime(FAULT_STOP_MS / 2)
  expect(source.exits).toEqual([1])
})

test('nothing is watched after a clean stop', () => {
  const { source, faults } = watched()
  source.emit('unhandledRejection', new Error('planted'))
  faults.ignore()
  vi.advanceTimersByTime(FAULT_STOP_MS)
  expect(source.exits).toEqual([])
  expect(source.eventNames()).toEqual([])
})
