import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/config.ts'
import type { Environment } from '../../src/environment.ts'
import { ConfigError, type Fault } from '../../src/yaml/fault.ts'

/** A valid configuration with all sections. Tests change one thing in it. */
export const VALID = `vault:
  address: https://vault.example.com:8200
  timeout: 2s
  auth:
    method: jwt
    role: transit-bridge-kms
    tokenFile: /run/secrets/token
transit:
  mount: transit
  key: k8s-etcd
kms:
  socket: /run/transit-bridge/kms.sock
  socketMode: "0600"
  clusterId: prod-eu-1
  refreshInterval: 30s
  outageGrace: 2m
  maxCallsInFlight: 1024
  decryptCache: {enabled: false, maxEntries: 4096, ttl: 24h}
  localKeys: {offlineFor: 4h, maxUses: 1000000, maxAge: 12h}
  alsoDecryptClusters: []
  acceptFrom: []
  v1beta1: false
csi:
  audience: vault
  rules:
    - namespaces: [shop-*]
      serviceAccounts: ["*"]
      roles: [web]
      keys: [app-*]
      types: [publicKey]
      operations: [sign]
  runtime:
    enabled: true
    driverName: transit.transit-bridge.io
    socket: /var/lib/kubelet/plugins/transit.transit-bridge.io/csi.sock
    registrationSocket: /var/lib/kubelet/plugins_registry/transit.transit-bridge.io-reg.sock
    stateFolder: /run/transit-bridge/csi
    nodeName: node-1
    maxRequestsPerSecond: 500
admin:
  listen: 127.0.0.1:9390
log:
  level: info
`

/** Replaces a piece of text in the valid configuration, which must contain it. */
export function change(from: string, to: string): string {
  if (!VALID.includes(from)) throw new Error(`the valid configuration has no ${from}`)
  return VALID.replace(from, () => to)
}

export function parse(text: string, environment: Environment = {}): Config {
  return parseConfig('config.yaml', text, environment).config
}

type Read = (text: string, environment: Environment) => unknown

/** The faults of a text, each as `path: message; hint`. */
export function findFaults(
  text: string,
  environment: Environment = {},
  read: Read = parse,
): readonly string[] {
  return faultsOf(text, environment, read).map(({ path, message, hint }) =>
    [path === '' ? message : `${path}: ${message}`, ...(hint === undefined ? [] : [hint])].join(
      '; ',
    ),
  )
}

export function faultsOf(
  text: string,
  environment: Environment = {},
  read: Read = parse,
): readonly Fault[] {
  try {
    read(text, environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}
