import { join } from 'node:path'
import { buildProgram } from '../../commands/program.ts'
import { KmsClient } from './kms-client.ts'
import { freePort } from '../host/port.ts'
import type { Patience } from '../host/eventually.ts'
import { ServedProgram, type Wrap } from './served-program.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** A configuration as a person writes it, without what every test has the same. */
export type PluginConfiguration = {
  vault: Record<string, unknown>
  transit?: Record<string, unknown>
  kms?: { socket?: string; [key: string]: unknown }
  admin?: Record<string, unknown>
  log?: Record<string, unknown>
}

/** The built program serving the KMS plugin, as users run it. */
export class Plugin extends ServedProgram {
  readonly client: KmsClient

  /** Starts it and waits until its socket accepts, which needs no Vault. */
  static async start(configuration: PluginConfiguration, patience?: Patience): Promise<Plugin> {
    const plugin = await Plugin.launch(configuration)
    await plugin.waitForSocket(patience)
    return plugin
  }

  /** Starts it and waits for nothing. */
  static async launch(configuration: PluginConfiguration, wrap?: Wrap): Promise<Plugin> {
    buildProgram()
    return new Plugin(tempFolder('plugin'), configuration, await freePort(), wrap)
  }

  private constructor(
    folder: string,
    configuration: PluginConfiguration,
    adminPort: number,
    wrap?: Wrap,
  ) {
    const socket = configuration.kms?.socket ?? join(folder, 'kms.sock')
    const place = { command: 'kms', folder, socket, adminPort, wrap } as const
    super(place, documentOf(configuration, socket, adminPort))
    this.client = new KmsClient(socket)
  }

  /** Writes another configuration for the next start. */
  configure(configuration: PluginConfiguration): void {
    this.writeConfiguration(documentOf(configuration, this.socket, this.adminPort))
  }

  /** Waits until Status answers with this healthz, or one that matches. */
  async waitForHealth(expected: string | RegExp, patience?: Patience): Promise<void> {
    await this.program.waitUntil(
      `healthz ${String(expected)}`,
      async () => {
        const { healthz } = await this.client.status({ timeout: 1_000 })
        const holds = typeof expected === 'string' ? healthz === expected : expected.test(healthz)
        if (!holds) throw new Error(`healthz is "${healthz}"`)
        return true
      },
      patience,
    )
  }

  override async stop(): Promise<number | null> {
    this.client.close()
    return super.stop()
  }
}

function documentOf(
  { vault, transit, kms, admin, log }: PluginConfiguration,
  socket: string,
  adminPort: number,
): object {
  return {
    vault,
    transit: { key: 'k8s-etcd', ...transit },
    kms: { socket, clusterId: 'test-cluster', ...kms },
    admin: { listen: `127.0.0.1:${String(adminPort)}`, ...admin },
    log: { level: 'trace', ...log },
  }
}
