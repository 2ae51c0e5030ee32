import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

import { systemClock } from '../../src/time/clock.ts'
import type { NodeInstallOptions } from '../../src/node/install/node-install.ts'
import { ServiceAccountIssuer, type ServiceAccountToken } from '../real/cluster/service-account.ts'

export const CONFIG = `vault:
  address: https://vault.example.com:8200
  caFile: /etc/tb/vault-ca.pem
  auth: {method: jwt, role: transit-bridge-kms, tokenFile: /etc/tb/token, audience: vault}
transit: {key: k8s-etcd}
kms: {socket: /run/tb/kms.sock, clusterId: prod-eu-1}
`
export const MANIFEST = '/manifests/transit-bridge-kms.yaml'

const issuer = await ServiceAccountIssuer.create()

/** The folders of a host inside a root folder, and the volumes of the installer's pod. */
export interface TestNode {
  readonly options: NodeInstallOptions
  readonly writeConfig: (text: string) => void
  readonly writeToken: (wanted?: ServiceAccountToken) => Promise<string>
  /** A file of the host. */
  readonly read: (path: string) => string
}

export async function makeNode(t: Test): Promise<TestNode> {
  const folder = t.testdir({ source: { 'ca.pem': 'the CA\n' } })
  const root = join(folder, 'host')
  for (const path of ['etc/tb', 'manifests', 'run/tb'])
    mkdirSync(join(root, path), { recursive: true })
  const options = {
    configSource: join(folder, 'source/config.yaml'),
    tokenSource: join(folder, 'source/token'),
    caSource: join(folder, 'source/ca.pem'),
    root,
    hostConfig: '/etc/tb/config.yaml',
    manifestFolder: '/manifests',
    image: 'registry.example.com/transit-bridge:1.0.0',
    clock: systemClock,
  }
  const node: TestNode = {
    options,
    writeConfig: (text) => writeFileSync(options.configSource, text),
    writeToken: async (wanted) => {
      const token = await issuer.token({ expiresIn: 86_400, ...wanted })
      writeFileSync(options.tokenSource, token)
      return token
    },
    read: (path) => readFileSync(join(root, path), 'utf8'),
  }
  node.writeConfig(CONFIG)
  return node
}
