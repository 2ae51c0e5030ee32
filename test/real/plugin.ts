import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { buildProgram } from '../commands/program.ts'
import { KmsClient } from './kms-client.ts'
import { freePort } from './port.ts'
import { Program, type Patience } from './program.ts'
import { tempFolder } from './temp-folder.ts'
import { requireNoSecret } from './told-secrets.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'bin', 'transit-bridge')

/** A configuration as a person writes it; sections are merged over {@link defaultConfiguration}. */
export type PluginConfiguration = {
  vault: Record<string, unknown>
  transit?: Record<string, unknown>
  kms?: Record<string, unknown>
  admin?: Record<string, unknown>
  log?: Record<string, unknown>
}

/** The built program serving the KMS plugin, as users run it. */
export class Plugin {
  readonly folder: string
  readonly configFile: string
  readonly socket: string
  readonly adminPort: number
  readonly client: KmsClient
  #program: Program

  /** Starts it and waits until its socket accepts, which needs no Vault. */
  static async start(configuration: PluginConfiguration, patience?: Patience): Promise<Plugin> {
    const plugin = await Plugin.launch(configuration)
    await plugin.#program.waitForSocket(plugin.socket, patience)
    return plugin
  }

  /** Starts it and waits for nothing. */
  static async launch(configuration: PluginConfiguration): Promise<Plugin> {
    buildProgram()
    const folder = tempFolder('plugin')
    return new Plugin(folder, configuration, await freePort())
  }

  private constructor(folder: string, configuration: PluginConfiguration, adminPort: number) {
    this.folder = folder
    this.adminPort = adminPort
    this.socket = String(configuration.kms?.['socket'] ?? join(folder, 'kms.sock'))
    this.configFile = join(folder, 'config.yaml')
    this.configure(configuration)
    this.client = new KmsClient(this.socket)
    this.#program = this.#launch()
  }

  get program(): Program {
    return this.#program
  }

  /** Writes another configuration for the next start. */
  configure(configuration: PluginConfiguration): void {
    const { vault, transit, kms, admin, log } = configuration
    const document = {
      vault,
      transit: { key: 'k8s-etcd', ...transit },
      kms: { socket: this.socket, clusterId: 'test-cluster', ...kms },
      admin: { listen: `127.0.0.1:${String(this.adminPort)}`, ...admin },
      log: { level: 'trace', ...log },
    }
    writeFileSync(this.configFile, stringify(document))
  }

  /** Everything that it wrote, as parsed JSON lines. */
  logLines(): Record<string, unknown>[] {
    return this.#program
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** Waits until Status answers with this healthz, or one that matches. */
  async waitForHealth(expected: string | RegExp, patience?: Patience): Promise<void> {
    await this.#program.waitUntil(
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

  /** Asks the admin server. */
  async admin(path: string, accept = '*/*'): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://127.0.0.1:${String(this.adminPort)}${path}`, {
      headers: { accept },
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** Kills it as a power cut would: the socket file stays. */
  async kill(): Promise<void> {
    await this.#program.kill()
  }

  /** Starts it again in the same folder, after it was stopped or killed. */
  async restart(patience?: Patience): Promise<void> {
    this.#program = this.#launch()
    await this.#program.waitForSocket(this.socket, patience)
  }

  /**
   * Ends it by SIGTERM; resolves with its exit code. Throws when anything that it told, to a log, to a caller
   * or to the admin server, holds a secret.
   */
  async stop(): Promise<number | null> {
    const pages = await this.#adminPages()
    this.client.close()
    const { code } = await this.#program.terminate()
    requireNoSecret(`the plugin in ${this.folder}`, `${this.#program.output()}\n${pages}`)
    return code
  }

  /** All that the admin server shows; empty when there is none, or it has ended. */
  async #adminPages(): Promise<string> {
    const pages = ['/metrics', '/readyz', '/readyz?format=json'].map((path) =>
      this.admin(path).then(
        ({ text }) => text,
        () => '',
      ),
    )
    return (await Promise.all(pages)).join('\n')
  }

  #launch(): Program {
    return Program.start({
      name: 'transit-bridge',
      command: LAUNCHER,
      args: ['kms', '--config', this.configFile],
      folder: this.folder,
    })
  }
}
