import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Defined by scripts/build.ts; undefined in a checkout. */
declare const TRANSIT_BRIDGE_KMS_POLICY: string | undefined

/** vault-policies/kms.hcl with the mount and the key of a configuration. */
export function renderKmsPolicy({ mount, key }: { readonly mount: string; readonly key: string }) {
  return readPolicyFile()
    .replace(/^# Change "transit" and .*\n\n?/m, '\n')
    .replaceAll(/^(path ")transit\/(\w+)\/k8s-etcd"/gm, (_all, start: string, verb: string) => {
      return `${start}${mount}/${verb}/${key}"`
    })
}

function readPolicyFile(): string {
  if (typeof TRANSIT_BRIDGE_KMS_POLICY === 'string') return TRANSIT_BRIDGE_KMS_POLICY
  return readFileSync(join(import.meta.dirname, '../../../vault-policies/kms.hcl'), 'utf8')
}
