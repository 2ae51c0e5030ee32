import { stringify } from 'yaml'

export type Provider = Record<string, unknown>

/** The usual one: a KMS v2 provider of this name behind a plugin's socket. */
export function kms(
  socket: string,
  settings: { name?: string; apiVersion?: 'v1' | 'v2' } = {},
): Provider {
  const { name = 'transit-bridge', apiVersion = 'v2' } = settings
  // An API server adds up the timeouts of its providers wherever it waits; its default is 3 s.
  return { kms: { apiVersion, name, endpoint: `unix://${socket}`, timeout: '3s' } }
}

export const identity: Provider = { identity: {} }

/** An EncryptionConfiguration with one rule: the first provider writes, all of them read. */
export function encryptionConfig(providers: Provider[], resources = ['secrets']): string {
  return stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources, providers }],
  })
}
