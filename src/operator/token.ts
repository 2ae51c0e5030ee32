import { join } from 'node:path'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { readCredentialFile } from '../files/credential-file.ts'

/** The operator token: from a file, the environment, or the file that `bao login` writes. */
export async function findOperatorToken(
  file: string | undefined,
  environment: Environment,
): Promise<Secret<string>> {
  if (file !== undefined) return readGivenFile(file)
  for (const name of ['VAULT_TOKEN', 'BAO_TOKEN']) {
    const token = environment[name]?.trim() ?? ''
    if (token !== '') return new Secret(token)
  }
  const home = environment['HOME']
  if (home === undefined) throw none()
  try {
    return await readTokenFile(join(home, '.vault-token'), '~/.vault-token')
  } catch (thrown) {
    if (thrown instanceof BridgeError && thrown.code === 'IDENTITY_MISSING') throw none()
    throw thrown
  }
}

/** A missing file is a mistake on the command line: nothing will write it. */
async function readGivenFile(file: string): Promise<Secret<string>> {
  try {
    return await readTokenFile(file, '--token-file')
  } catch (thrown) {
    if (!(thrown instanceof BridgeError) || thrown.code !== 'IDENTITY_MISSING') throw thrown
    const text = `--token-file: ${file} does not exist; write an operator token to it, or correct the path`
    throw new BridgeError('USAGE_INVALID', text, { cause: thrown })
  }
}

async function readTokenFile(path: string, setting: string): Promise<Secret<string>> {
  const whenMissing = 'write an operator token to it'
  return new Secret(await readCredentialFile({ path, setting, whenMissing }))
}

function none(): BridgeError {
  const text =
    'there is no operator token; log in with bao login, set VAULT_TOKEN, or pass --token-file FILE'
  return new BridgeError('USAGE_INVALID', text)
}
