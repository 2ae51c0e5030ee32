import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import type { AuditRequest } from '../real/vault/audit-log.ts'
import type { AuditMark } from '../real/vault/openbao.ts'
import { KmsVault, type KmsVaultOptions } from '../real/vault/kms-vault.ts'
import { revokeTokens } from '../real/vault/revoke-tokens.ts'
import { eventually } from '../real/host/eventually.ts'
import { HttpProxy } from '../real/faults/http-proxy.ts'
import { Plugin, type PluginConfiguration } from '../real/program/plugin.ts'
import type { ServedProgram, Wrap } from '../real/program/served-program.ts'
import { rememberSecret } from '../real/program/told-secrets.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'

export type Settings = {
  /** Where the plugin finds Vault, if that is a proxy. */
  address?: string | string[]
  kms?: Record<string, unknown>
  vault?: Record<string, unknown>
  auth?: Record<string, unknown>
} & Pick<PluginConfiguration, 'transit' | 'admin' | 'log'>

/**
 * A real OpenBao and the built program as users run it. {@link Fixture.end} belongs at the end of each test file.
 */
export class Fixture {
  readonly vault: KmsVault
  readonly #plugins: Plugin[] = []
  readonly #proxies: { stop(): Promise<void> }[] = []

  static async open(options: KmsVaultOptions = {}): Promise<Fixture> {
    return new Fixture(await KmsVault.start(options))
  }

  private constructor(vault: KmsVault) {
    this.vault = vault
  }

  get bao(): KmsVault['bao'] {
    return this.vault.bao
  }

  /** A plugin whose socket accepts; Vault may be unavailable. */
  async start(settings: Settings = {}): Promise<Plugin> {
    return this.#keep(await Plugin.start(this.configuration(settings)))
  }

  /** A plugin that says "ok". */
  async startHealthy(settings: Settings = {}): Promise<Plugin> {
    const plugin = await this.start(settings)
    await plugin.waitForHealth('ok')
    return plugin
  }

  /** Starts a plugin without waiting for it, because it may exit. */
  async launch(settings: Settings = {}, wrap?: Wrap): Promise<Plugin> {
    return this.#keep(await Plugin.launch(this.configuration(settings), wrap))
  }

  /** A network that can fail, in front of Vault or whatever else is at the address. */
  async tcpProxy(target = this.bao.address): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(target)
    this.#proxies.push(proxy)
    return proxy
  }

  /** Something in front of Vault that can answer in its place. */
  async httpProxy(target = this.bao.address): Promise<HttpProxy> {
    const proxy = await HttpProxy.start(target)
    this.#proxies.push(proxy)
    return proxy
  }

  configuration({ address, kms, vault, auth, ...rest }: Settings): PluginConfiguration {
    const base = this.vault.configuration(address ?? this.bao.address)
    const login = { ...(base.vault['auth'] as object), ...auth }
    const method = auth?.['method'] === undefined ? login : auth
    return { vault: { ...base.vault, ...vault, auth: method }, ...rest, kms: { ...kms } }
  }

  /** The requests of plugins to Vault since a place in the audit file; the test's own requests are those of root. */
  asked(since: AuditMark, path: RegExp = /./): AuditRequest[] {
    return this.bao
      .auditRequests({ since, path })
      .filter(({ displayName, path: asked }) => displayName !== 'root' && !asked.startsWith('sys/'))
  }

  /** Revokes the Vault tokens of all plugins. */
  revokeTokens(): Promise<void> {
    return revokeTokens(this.bao)
  }

  #keep(plugin: Plugin): Plugin {
    this.#plugins.push(plugin)
    return plugin
  }

  /**
   * The last test of a file: stops all that was started. Plugin.stop looks for secrets in what the plugin told,
   * also when it ended before.
   */
  end(): void {
    void test('what still runs stops with 0, and no output contains a token, plaintext or ciphertext', async (t) => {
      try {
        const ends = this.#plugins.map(async (plugin) => ({
          alive: plugin.program.running,
          code: await plugin.stop(),
        }))
        for (const { alive, code } of await Promise.all(ends)) if (alive) t.equal(code, 0)
      } finally {
        await Promise.all(this.#proxies.map((proxy) => proxy.stop()))
        await this.vault.stop()
      }
    })
  }
}

/** A DEK seed, as an API server makes one. It is searched for in every output. */
export function newSeed(): Buffer {
  const seed = randomBytes(32)
  rememberSecret(seed)
  return seed
}

/** The log lines whose message starts with this. */
export function linesSaying(plugin: ServedProgram, words: string): Record<string, unknown>[] {
  return plugin.logLines().filter(({ msg }) => String(msg).startsWith(words))
}

/** Waits until exactly so many lines say it: the log is written in the background. */
export function waitForLines(plugin: ServedProgram, words: string, count: number): Promise<true> {
  const holds = () => linesSaying(plugin, words).length === count
  return eventually(`${String(count)} lines: ${words}`, holds)
}

/** What a caller sees of a call: the code and the message. */
export async function outcomeOf(
  call: Promise<unknown>,
): Promise<{ code: string; message: string }> {
  try {
    await call
    return { code: 'OK', message: '' }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'none'
    return { code, message: error instanceof Error ? error.message : String(error) }
  }
}
