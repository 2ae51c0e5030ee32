import { join } from 'node:path'
import { buildProgram } from '../../commands/program.ts'
import { freePort } from '../host/port.ts'
import type { Patience } from '../host/eventually.ts'
import { ServedProgram, type Wrap } from './served-program.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** A configuration as a person writes it, without what every test has the same. */
export type ProviderConfiguration = {
  vault: Record<string, unknown>
  transit?: Record<string, unknown>
  csi: { audience: string; rules: Record<string, unknown>[]; [key: string]: unknown }
  log?: Record<string, unknown>
}

/** The built program serving the provider of the Secrets Store CSI driver, as users run it. */
export class Provider extends ServedProgram {
  /**
   * Starts it and waits until its socket accepts, which needs no Vault.
   * @param providersFolder where the driver looks for sockets
   */
  static async start(
    providersFolder: string,
    configuration: ProviderConfiguration,
    patience?: Patience,
    wrap?: Wrap,
  ): Promise<Provider> {
    buildProgram()
    const provider = new Provider(providersFolder, configuration, await freePort(), wrap)
    await provider.waitForSocket(patience)
    return provider
  }

  private constructor(
    providersFolder: string,
    configuration: ProviderConfiguration,
    adminPort: number,
    wrap?: Wrap,
  ) {
    const folder = tempFolder('provider')
    const socket = join(providersFolder, 'transit-bridge.sock')
    const place = { command: 'csi', folder, socket, adminPort, wrap } as const
    super(place, documentOf(configuration, socket, adminPort))
  }

  /** Writes another configuration for the next start. */
  configure(configuration: ProviderConfiguration): void {
    this.writeConfiguration(documentOf(configuration, this.socket, this.adminPort))
  }
}

function documentOf(
  { vault, transit, csi, log }: ProviderConfiguration,
  socket: string,
  adminPort: number,
): object {
  return {
    vault,
    ...(transit === undefined ? {} : { transit }),
    csi: { socket, refreshInterval: '1s', ...csi },
    admin: { listen: `127.0.0.1:${String(adminPort)}` },
    log: { level: 'trace', ...log },
  }
}
