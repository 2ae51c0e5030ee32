// usage: killed-writer.ts MODULE replace|remove FILE N    replaces FILE by standard input, or removes it, and kills itself by
// SIGKILL before its call number N of the file system.
import { readFileSync } from 'node:fs'
import fs, { open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const [, , modulePath = '', work, path = '', killAt] = process.argv
const content = readFileSync(0, 'utf8')
let calls = 0

type Functions = Record<string, (...args: unknown[]) => unknown>

/** Counts the calls of functions; the one that is one too many never begins. */
function count(functions: Functions, names: readonly string[]): void {
  for (const name of names) {
    const call = functions[name]
    functions[name] = function (this: unknown, ...args) {
      if (calls >= Number(killAt)) process.kill(process.pid, 'SIGKILL')
      calls += 1
      return call?.apply(this, args)
    }
  }
}

const handle = await open(modulePath)
const prototype = Object.getPrototypeOf(handle) as Functions
await handle.close()
count(prototype, ['write', 'writeFile', 'sync', 'stat', 'chmod', 'close'])
count(fs as unknown as Functions, ['open', 'rename', 'rm', 'chmod'])
syncBuiltinESMExports()

const { replaceFile, removeFile } = (await import(modulePath)) as {
  replaceFile: (file: { path: string; mode: number; content: string }) => Promise<void>
  removeFile: (path: string) => Promise<boolean>
}
if (work === 'replace') await replaceFile({ path, mode: 0o600, content })
else await removeFile(path)
