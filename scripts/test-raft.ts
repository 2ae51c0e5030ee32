// Runs the tests of a raft cluster in a network namespace of their own: npm run test:raft.
import { spawnSync } from 'node:child_process'

const TAP = ['tap', '--disable-coverage', '--allow-incomplete-coverage', '--timeout=3600']

const check = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' })
if (check.status === 0) {
  const args = ['--net', ...TAP, 'test/raft/raft.ts']
  process.exitCode = spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1
} else {
  const reason = check.error?.message ?? check.stderr.trim()
  process.stderr.write(
    `these tests need a network namespace: run them on Linux as root, with the packages util-linux and iproute2 (${reason})\n`,
  )
  process.exitCode = 1
}
