import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT } from '../distribution.ts'
import { compress, normalizeFiles, packTar } from './archive.ts'

/** Packages the chart. helm writes the current time into its archive, so its files are packed again. */
export function packageChart(target: string, work: string, helm: string): void {
  const unpacked = join(work, 'unpacked')
  mkdirSync(unpacked, { recursive: true })
  execFileSync(helm, ['package', join(ROOT, 'helm/transit-bridge'), '--destination', work], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [name] = readdirSync(work).filter((each) => each.endsWith('.tgz'))
  if (name === undefined) throw new Error('helm wrote no package')
  execFileSync('tar', ['--touch', '-xzf', join(work, name), '-C', unpacked])
  normalizeFiles(unpacked)
  packTar(unpacked, 'transit-bridge', join(work, 'chart.tar'))
  compress(
    join(work, 'chart.tar'),
    join(target, `transit-bridge-chart-${basename(name).replace('transit-bridge-', '')}`),
  )
}
