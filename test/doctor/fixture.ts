import { chmodSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'

import type { Finding } from '../../src/doctor/finding.ts'
import { GOOD } from '../encryption/faulty-configs.ts'
import { KmsVault } from '../real/vault/kms-vault.ts'
import { Plugin } from '../real/program/plugin.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runHere } from '../setup/fixture.ts'

const MANIFEST = (flags: string, folders: readonly string[]) => `apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
    - name: kube-apiserver
      command: [kube-apiserver, ${flags}]
      volumeMounts:
${folders.map((folder, index) => `        - {name: v${index}, mountPath: ${folder}}`).join('\n')}
  volumes:
${folders.map((folder, index) => `    - {name: v${index}, hostPath: {path: ${folder}}}`).join('\n')}
`

export interface DoctorRun {
  readonly code: number
  readonly findings: readonly Finding[]
}

/** A node on which all is well: OpenBao, a running plugin, its token, and the files of kube-apiserver. */
export class DoctorFixture {
  readonly vault: KmsVault
  readonly plugin: Plugin
  readonly folder: string
  /** The configuration as it is; a test changes parts of it before it runs doctor. */
  config: {
    vault: Record<string, unknown>
    transit: object
    kms: Record<string, unknown>
    admin: object
  }
  flags: string
  folders: readonly string[]
  encryption: string

  static async start(t: Test): Promise<DoctorFixture> {
    const vault = await KmsVault.start()
    await vault.bao.api('POST', 'transit/config/keys', { disable_upsert: true })
    await vault.writeToken({ expiresIn: 7 * 24 * 3600 })
    const plugin = await Plugin.start(vault.configuration())
    t.teardown(async () => {
      await plugin.stop()
      await vault.stop()
    })
    await plugin.waitForHealth('ok')
    return new DoctorFixture(vault, plugin)
  }

  private constructor(vault: KmsVault, plugin: Plugin) {
    this.vault = vault
    this.plugin = plugin
    this.folder = tempFolder('doctor')
    this.config = {
      vault: vault.configuration().vault,
      transit: { key: 'k8s-etcd' },
      kms: { socket: plugin.socket, clusterId: 'test-cluster' },
      admin: { listen: 'none' },
    }
    const file = join(this.folder, 'encryption.yaml')
    this.flags = `"--encryption-provider-config=${file}", --encryption-provider-config-automatic-reload=true`
    this.folders = [this.folder, dirname(plugin.socket)]
    this.encryption = GOOD.replace('/run/transit-bridge/kms.sock', plugin.socket)
  }

  write(name: string, text: string, mode = 0o600): string {
    const file = join(this.folder, name)
    writeFileSync(file, text)
    chmodSync(file, mode)
    return file
  }

  /** Runs doctor on the node as it is now. */
  async run(...args: readonly string[]): Promise<DoctorRun> {
    const outcome = await this.print('--json', ...args)
    const { findings } = JSON.parse(outcome.stdout) as { findings: readonly Finding[] }
    return { code: outcome.code, findings }
  }

  print(...args: readonly string[]) {
    const config = this.write('config.yaml', JSON.stringify(this.config))
    const manifest = this.write('kube-apiserver.yaml', MANIFEST(this.flags, this.folders))
    this.write('encryption.yaml', this.encryption)
    const usual = args.includes('--manifest') ? [] : ['--manifest', manifest]
    return runHere(['doctor', '--config', config, ...usual, ...args])
  }

  /** The finding about something, as one line without its name; all lines joined if there are several. */
  async find(what: string, ...args: readonly string[]): Promise<string> {
    const { findings } = await this.run(...args)
    return findings
      .filter((finding) => finding.what === what)
      .map(({ level, why, fix }) => `${level}: ${why}${fix === undefined ? '' : `; ${fix}`}`)
      .join('\n')
  }
}
