// The alerts, by Prometheus's own tool.
import { join } from 'node:path'
import { test } from 'tap'
import { obtain } from '../../real/host/parts.ts'
import { Program } from '../../real/program/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

const ROOT = join(import.meta.dirname, '../../..')

async function promtool(...args: string[]): Promise<string> {
  const command = await obtain('promtool')
  const program = Program.start({ name: 'promtool', command, args, folder: tempFolder('promtool') })
  await program.finished()
  return program.output()
}

void test('promtool accepts the rules', async (t) => {
  const file = join(ROOT, 'helm/transit-bridge/rules/transit-bridge.yaml')
  t.match(await promtool('check', 'rules', file), /SUCCESS: 20 rules found/)
})

void test('every alert fires when it must, and only then', async (t) => {
  t.match(await promtool('test', 'rules', join(ROOT, 'test/monitoring/alerts.yaml')), /SUCCESS/)
})
