import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { tempFolder } from '../real/host/temp-folder.ts'
import { findSecret, rememberSecret } from '../real/program/told-secrets.ts'

/** A secret in the form of a word. It is searched for in every output. */
export function newSecret(bytes = 24): string {
  const secret = randomBytes(bytes).toString('base64url')
  rememberSecret(secret)
  return secret
}

/** A secret of 32 bytes. It is searched for in every output. */
export function newKey(): Buffer {
  const key = randomBytes(32)
  rememberSecret(key)
  return key
}

/** A folder in which a test puts what commands read, and one in which they write. */
export class TestFolders {
  readonly inputs = tempFolder('inputs')
  readonly outputs = tempFolder('outputs')

  /** Writes a file that a command reads; returns its path. */
  write(name: string, content: string | Buffer | object): string {
    const file = join(this.inputs, name)
    mkdirSync(dirname(file), { recursive: true })
    const text = typeof content === 'string' || Buffer.isBuffer(content)
    writeFileSync(file, text ? content : stringify(content), { mode: 0o600 })
    return file
  }

  /** A kubeconfig with a token, for an API server. */
  kubeconfig(server: string, caFile: string, token = newSecret()): string {
    return this.write(`kubeconfig-${token.slice(0, 3)}`, {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority': caFile } }],
      users: [{ name: 'u', user: { token } }],
    })
  }

  /** Path of something that a command writes. */
  out(name: string): string {
    return join(this.outputs, name)
  }
}

/** The files in a folder that contain a secret in any form, by their path in it. */
export function filesWithSecrets(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => findSecret(readFileSync(file, 'latin1')) !== undefined)
    .map((file) => file.slice(folder.length + 1))
    .toSorted()
}
