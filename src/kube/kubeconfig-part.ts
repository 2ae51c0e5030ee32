import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

import { BridgeError } from '../errors.ts'
import { codeOfFileError, explainFileError } from '../files/system-error.ts'

export function kubeconfigFault(file: string, words: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', nameKubeconfig(file, words))
}

function nameKubeconfig(file: string, words: string): string {
  return `kubeconfig ${file}: ${words}`
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
  } catch (cause) {
    const where = path === file ? '' : `${what}${path} `
    const message = nameKubeconfig(file, `${where}cannot be read: ${explainFileError(cause)}`)
    throw new BridgeError(codeOfFileError(cause, 'CONFIG_INVALID'), message, { cause })
  }
}
