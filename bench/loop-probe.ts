// Loaded into the measured program (node --import). On each SIGWINCH, which the program ignores, it writes two figures to the
// file LOOP_PROBE_FILE and starts again, both in milliseconds: the longest delay of the event loop (monitorEventLoopDelay),
// and the longest CPU time of the main thread between two turns of a timer.
import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const file = process.env['LOOP_PROBE_FILE'] ?? ''
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()

let before = threadTime()
let longest = 0
setInterval(endTurn, 1).unref()

process.on('SIGWINCH', () => {
  endTurn()
  writeFileSync(`${file}.new`, JSON.stringify({ delay: delay.max / 1e6, turn: longest }))
  renameSync(`${file}.new`, file)
  delay.reset()
  before = threadTime()
  longest = 0
})

function endTurn(): void {
  const now = threadTime()
  longest = Math.max(longest, now - before)
  before = now
}

function threadTime(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
