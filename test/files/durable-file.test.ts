// What a kill or a power cut leaves of a durable write, with and without Node.js's permission model.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { replaceFile } from '../../src/files/atomic-file.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const MODULE = join(import.meta.dirname, '../../src/files/atomic-file.ts')
const PROGRAM = join(import.meta.dirname, 'killed-writer.ts')
const OLD = 'old'
const NEW = 'new'.repeat(30_000)

const MODELS = ['with the permission model', 'without the permission model'] as const
type Model = (typeof MODELS)[number]

/** Calls the module in a process that kills itself before its call number `killAt` of the file system. */
function run(model: Model, work: 'replace' | 'remove', file: string, killAt = Infinity) {
  const rights = ['--permission', '--allow-fs-read=*', `--allow-fs-write=${join(file, '..')}/*`]
  const options = model === 'with the permission model' ? rights : []
  // Without what tap adds to the environment and to the options of a Node.js that it sees.
  const program = ['-i', process.execPath, ...options, '--no-warnings', PROGRAM]
  const args = [...program, MODULE, work, file, String(killAt)]
  const { signal, status, stderr } = spawnSync('env', args, { input: NEW })
  if (signal === null && status !== 0) throw new Error(String(stderr))
  return signal
}

for (const model of MODELS) {
  void test(`SIGKILL between any two steps of a replacement leaves the old or the new file, ${model}`, async (t) => {
    let steps = 0
    const found = new Set<string>()
    for (let signal: string | null = 'SIGKILL'; signal !== null; steps += 1) {
      const folder = tempFolder('killed')
      const file = join(folder, 'keys')
      writeFileSync(file, OLD)
      signal = run(model, 'replace', file, steps)
      const content = readFileSync(file, 'utf8')
      t.ok([OLD, NEW].includes(content), `step ${String(steps)}`)
      found.add(content)
      await replaceFile({ path: file, mode: 0o600, content: NEW })
      t.same(readdirSync(folder), ['keys'], 'the next write removes what the kill left')
      t.equal(readFileSync(file, 'utf8'), NEW)
    }
    t.ok(steps > 5, `${String(steps)} steps`)
    t.equal(found.size, 2)
  })
}

/** Why the host cannot show what a power cut leaves; false if it can. */
function whyNoPowerCut(): string | false {
  if (process.getuid?.() !== 0) return 'only root can mount a file system'
  const folder = tempFolder('try')
  try {
    mount(makeImage(folder), folder).unmount()
    return false
  } catch {
    return 'this host cannot mount an ext4 image'
  }
}

function makeImage(folder: string): string {
  const image = join(folder, 'image')
  execFileSync('truncate', ['--size=16M', image])
  execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' })
  return image
}

/** Nothing is committed in the background for 5 minutes. */
function mount(image: string, folder: string) {
  const path = join(folder, 'mounted')
  mkdirSync(path, { recursive: true })
  execFileSync('mount', ['-o', 'loop,commit=300', image, path], { stdio: 'ignore' })
  return { path, unmount: () => void execFileSync('umount', [path]) }
}

/** What is on the disk when the power is cut after `work`: a copy of what the kernel has sent to it. */
function cutPowerAfter(work: (file: string) => void): string | undefined {
  const folder = tempFolder('disk')
  const image = makeImage(folder)
  const disk = mount(image, folder)
  const copy = join(folder, 'copy')
  try {
    const file = join(disk.path, 'keys')
    writeFileSync(file, OLD)
    execFileSync('sync', ['--file-system', disk.path])
    work(file)
    cpSync(image, copy)
  } finally {
    disk.unmount()
  }
  const again = mount(copy, tempFolder('again'))
  try {
    const file = join(again.path, 'keys')
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  } finally {
    again.unmount()
  }
}

const skip = whyNoPowerCut()

/** A sync of the whole host may come in between, so one loss among a few power cuts is enough. */
const ATTEMPTS = 5

void test('a copy of the disk shows what a power cut loses', { skip }, (t) => {
  const losesWrite = () =>
    cutPowerAfter((file) => {
      writeFileSync(`${file}.new`, NEW)
      execFileSync('mv', [`${file}.new`, file])
    }) === OLD
  t.ok(Array.from({ length: ATTEMPTS }).some(losesWrite))
  t.end()
})

for (const model of MODELS) {
  void test(`a replaced file is the new one after a power cut, ${model}`, { skip }, (t) => {
    t.equal(
      cutPowerAfter((file) => run(model, 'replace', file)),
      NEW,
    )
    t.end()
  })

  void test(`a removed file is gone or destroyed after a power cut, ${model}`, { skip }, (t) => {
    const found = cutPowerAfter((file) => {
      t.equal(run(model, 'remove', file), null)
      t.notOk(existsSync(file))
    })
    t.ok(found === undefined || found === '\0'.repeat(OLD.length), String(found))
    t.end()
  })
}
