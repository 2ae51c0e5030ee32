import { isSilent } from '../convergence/api-server-view.ts'
import type { ClusterReading } from '../convergence/cluster-reading.ts'
import { shorten } from '../convergence/writers.ts'
import type { AdministeredKey } from '../operator/key-admin.ts'
import { isOwnKeyId } from '../seed/key-id.ts'
import type { KeyVersions } from '../storage/key-versions.ts'
import type { GroupReport, Report } from '../verify/report.ts'
import { sharesOf } from '../verify/stored-keys.ts'
import { listFaults } from '../verify/verdict.ts'

export interface StoredFacts {
  readonly report: Report
  readonly reading: ClusterReading
  readonly key?: AdministeredKey | undefined
  readonly versions?: KeyVersions | undefined
}

/** Judges what etcd holds by the rules of verify, and by the versions that Vault still decrypts. */
export function judgeStored({ report, reading, key, versions }: StoredFacts): readonly string[] {
  const faults = listFaults(report).map((fault) => `etcd: ${fault}`)
  if (key === undefined) return faults
  const lost = sharesOf(report).filter(
    ({ keyVersion }) => keyVersion !== undefined && !canDecrypt(key, keyVersion),
  )
  return [
    ...faults,
    ...lost.map(
      ({ objects, keyVersion, provider }) =>
        `etcd: ${objects.toLocaleString('en')} objects of ${provider} are under version ${String(keyVersion)}, which Vault does not decrypt (min_decryption_version ${String(key.minDecryptionVersion)})`,
    ),
    ...(versions === undefined ? [] : findForeign(report, reading, key, versions)),
  ]
}

function canDecrypt(key: AdministeredKey, version: number): boolean {
  return version >= key.minDecryptionVersion && key.versions.has(version)
}

/**
 * Data whose key id matches no version of the key, although its version number does: of a key that was deleted and created
 * again, or of another cluster. A provider whose current key is another one belongs to another plugin and is not judged.
 */
function findForeign(
  { resources }: Report,
  reading: ClusterReading,
  key: AdministeredKey,
  versions: KeyVersions,
): readonly string[] {
  const others = providersOfOthers(reading, versions)
  const isForeign = ({ provider, keyId = '', keyIdHash = '', keyVersion }: GroupReport) =>
    isOwnKeyId(keyId) &&
    versions.versionOf(keyIdHash) === undefined &&
    !others.has(provider) &&
    (keyVersion === undefined || canDecrypt(key, keyVersion))
  const foreign = resources.flatMap(({ groups }) => groups).filter(isForeign)
  const byKey = Map.groupBy(foreign, ({ provider, keyIdHash = '' }) => `${keyIdHash} ${provider}`)
  return [...byKey].map(([id, groups]) => {
    const [hash = '', ...provider] = id.split(' ')
    const objects = groups.reduce((sum, each) => sum + each.objects, 0)
    return `etcd: ${objects.toLocaleString('en')} objects of ${provider.join(' ')} are under key ${shorten(hash)}, which matches no version of transit key ${key.name} in Vault (the key was deleted and created again, or they are of another cluster); transit-bridge verify --deep proves what can be decrypted`
  })
}

function providersOfOthers(
  { apiServers }: ClusterReading,
  versions: KeyVersions,
): ReadonlySet<string> {
  return new Set(
    apiServers
      .flatMap((each) => (isSilent(each) ? [] : [...each.keys]))
      .filter(([, { hash }]) => versions.versionOf(hash) === undefined)
      .map(([name]) => `kms v2 ${name}`),
  )
}
