import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

import { BridgeError, type ErrorCode } from '../errors.ts'
import { codeOfFileError, explainFileError } from '../files/system-error.ts'

export function kubeconfigFault(
  file: string,
  words: string,
  code: ErrorCode = 'CONFIG_INVALID',
): BridgeError {
  return new BridgeError(code, `kubeconfig ${file}: ${words}`)
}

/** The absolute path of a file that a kubeconfig names; paths are relative to the kubeconfig. */
export function resolvePart(file: string, path: string): string {
  return resolve(dirname(file), path)
}

/** Inline data or the content of a file, undefined without either; kubectl refuses both at once. */
export async function readPart(
  file: string,
  name: string,
  { path, data }: { readonly path: string; readonly data: Buffer },
): Promise<string | undefined> {
  if (path === '') return data.length === 0 ? undefined : data.toString('utf8')
  if (data.length > 0) throw kubeconfigFault(file, `has both ${name} and ${name}-data; remove one`)
  return readText(file, resolvePart(file, path), `${name} `)
}

/** `what` names the file in a message, if it is not the kubeconfig itself. */
export async function readText(file: string, path: string, what = ''): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const where = path === file ? '' : `${what}${path} `
    const words = `${where}cannot be read: ${explainFileError(error)}`
    throw kubeconfigFault(file, words, codeOfFileError(error, 'CONFIG_INVALID'))
  }
}
