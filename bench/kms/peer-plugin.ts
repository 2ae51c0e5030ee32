import { join } from 'node:path'

import { tempFolder } from '../../test/real/host/temp-folder.ts'
import { freePort } from '../../test/real/host/port.ts'
import { KmsClient } from '../../test/real/program/kms-client.ts'
import { Program } from '../../test/real/program/program.ts'
import { KEY, type KmsVault } from '../../test/real/vault/kms-vault.ts'

/**
 * vault-kubernetes-kms, a KMS v2 plugin in Go, with the same key and with a token of the same policy. It is configured by
 * environment variables, so that the token is not on a command line
 * (https://github.com/FalcoSuessgott/vault-kubernetes-kms/blob/main/docs/configuration.md).
 */
export class PeerPlugin {
  readonly socket: string
  readonly client: KmsClient
  readonly #program: Program

  /** @param binary its path; @param caFile the authority of Vault's certificate; @param address Vault's, if not its own */
  static async start(
    binary: string,
    vault: KmsVault,
    { caFile, address = vault.bao.address }: { caFile?: string | undefined; address?: string } = {},
  ): Promise<PeerPlugin> {
    const folder = tempFolder('peer')
    const socket = join(folder, 'kms.sock')
    const program = Program.start({
      name: 'vault-kubernetes-kms',
      command: binary,
      args: [],
      folder,
      env: {
        PATH: process.env['PATH'],
        VAULT_KMS_SOCKET: `unix://${socket}`,
        VAULT_KMS_VAULT_ADDR: address,
        VAULT_KMS_AUTH_METHOD: 'token',
        VAULT_KMS_TOKEN: await vault.login(),
        VAULT_KMS_TRANSIT_KEY: KEY,
        VAULT_KMS_HEALTH_PORT: String(await freePort()),
        ...(caFile === undefined ? {} : { VAULT_CACERT: caFile }),
      },
    })
    await program.waitForSocket(socket)
    return new PeerPlugin(socket, program)
  }

  private constructor(socket: string, program: Program) {
    this.socket = socket
    this.#program = program
    this.client = new KmsClient(socket)
  }

  async stop(): Promise<void> {
    this.client.close()
    await this.#program.terminate()
  }
}
