// The sealed file on a mount that hangs.
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'

import { SealedFile } from '../../../src/kms/local/sealed-file.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { type Node, outageAfterRun, OWNER } from './node.ts'

/** The number of threads for requests of files (https://nodejs.org/api/cli.html, UV_THREADPOOL_SIZE). */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4)

/** No request of a file is answered until the returned function is called. */
function stopFiles(): () => void {
  const pipes = Array.from({ length: THREADS }, () => join(tempFolder('pipe'), 'pipe'))
  execFileSync('mkfifo', pipes)
  // Opening a pipe without a writer never returns.
  for (const path of pipes) void readFile(path)
  return () => {
    for (const path of pipes) closeSync(openSync(path, 'r+'))
  }
}

function sealedFileOf({ sealedFile: path, nodeKeyFile }: Node): SealedFile {
  return new SealedFile({ path, nodeKeyFile, owner: OWNER, log: { warn: () => undefined } })
}

void test('a file that cannot be removed because its mount hangs is a fault, and is removed later', async (t) => {
  const { node } = await outageAfterRun(t)
  const file = sealedFileOf(node)
  const answerFiles = stopFiles()
  const isRemoved = file.remove()
  await eventually('the fault', () => file.fault !== undefined).finally(answerFiles)
  t.equal(
    file.fault?.text,
    `${node.sealedFile}.sock did not answer a read within 2 s; is it a pipe, or on a network mount that hangs?`,
  )
  t.equal(await isRemoved, false)
  t.ok(existsSync(node.sealedFile))
  await eventually('the removal', () => file.remove())
  t.equal(file.fault, undefined)
  t.notOk(existsSync(node.sealedFile))
  await file.release()
})

void test('a start whose mount hangs reports that, and goes on without the file', async (t) => {
  const { node } = await outageAfterRun(t)
  const file = sealedFileOf(node)
  const answerFiles = stopFiles()
  const mayLoad = await file.mayLoad().finally(answerFiles)
  t.equal(mayLoad, false)
  t.match(file.fault?.text, /did not answer a read within 2 s/)
  await file.release()
})
