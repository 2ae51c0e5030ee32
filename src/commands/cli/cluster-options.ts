import type { ApiServers } from '../../convergence/api-servers.ts'
import { readEncryptionRules } from '../../encryption/rules-file.ts'
import { findCluster } from '../../kube/place.ts'
import { knownResources, parseResource, formatResource } from '../../kube/resource.ts'
import type { Clock } from '../../time/clock.ts'
import { findNearest } from '../../text/nearest.ts'
import { parseDuration } from '../../time/duration.ts'
import { BridgeError } from '../../errors.ts'
import { listValues, type OptionValues } from './command.ts'
import { complain, type Terminal } from './terminal.ts'

/** Opens the cluster that the options name. Throws USAGE_INVALID, CONFIG_INVALID or KUBE_*. */
export async function openCluster(
  values: OptionValues,
  { environment, stderr }: Pick<Terminal, 'environment' | 'stderr'>,
  clock: Clock,
): Promise<ApiServers> {
  const kubeconfig = textValue(values, 'kubeconfig')
  const context = textValue(values, 'context')
  const named = listValues(values, 'api-server').map((url) =>
    readOrigin('api-server', url, 'https'),
  )
  const access = await findCluster({
    environment,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  })
  const { ApiServers: Found } = await import('../../convergence/api-servers.ts')
  const servers = await Found.find({ access, named, clock })
  if (servers.source === 'kubeconfig') {
    complain(
      { stderr },
      `the Service kubernetes has no endpoints, so only ${access.server} is asked; name the others by --api-server URL`,
    )
  }
  return servers
}

/** Addresses of the admin servers of plugins. */
export function readPlugins(values: OptionValues): readonly string[] {
  return listValues(values, 'plugin').map((url) => readOrigin('plugin', url, 'http'))
}

function readOrigin(option: string, given: string, scheme: 'http' | 'https'): string {
  const url = URL.parse(given.includes('://') ? given : `${scheme}://${given}`)
  const isRight =
    url !== null &&
    (url.protocol === `${scheme}:` || (scheme === 'http' && url.protocol === 'https:')) &&
    url.pathname === '/' &&
    url.username === ''
  if (isRight) return url.origin
  const example = scheme === 'https' ? 'https://192.0.2.10:6443' : 'http://127.0.0.1:9390'
  throw usage(
    `--${option}: ${JSON.stringify(given)} is not an address; write for example ${example}`,
  )
}

/** What is to be rewritten, as an EncryptionConfiguration names it. */
export async function readPatterns(values: OptionValues): Promise<readonly string[]> {
  const list = textValue(values, 'resources')
  const file = textValue(values, 'encryption-config')
  if (list !== undefined) return splitList(list).map(readResource)
  if (file === undefined) {
    throw usage('needs --encryption-config FILE, that of the API server, or --resources LIST')
  }
  const rules = await readEncryptionRules(file)
  return [...new Set(rules.flatMap(({ resources }) => resources))]
}

function splitList(list: string): string[] {
  const names = list.split(',').map((name) => name.trim())
  return [...new Set(names.filter((name) => name !== ''))]
}

function readResource(name: string): string {
  if (/^\*\.(\*|[a-z0-9.-]*)$/.test(name)) return name
  const resource = parseResource(name)
  if (resource !== undefined) return formatResource(resource)
  const nearest = findNearest(name, knownResources())
  const hint =
    nearest === undefined
      ? 'custom resources are written with their group: NAME.GROUP'
      : `did you mean ${nearest}`
  throw usage(`--resources: ${JSON.stringify(name)} is not a resource of Kubernetes; ${hint}`)
}

/** A whole number of at least 1; undefined if the option is not given. */
export function countValue(values: OptionValues, name: string): number | undefined {
  const text = textValue(values, name)
  if (text === undefined) return undefined
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text)
  throw usage(`--${name}: must be a whole number from 1 to 9999999, not ${JSON.stringify(text)}`)
}

/** Milliseconds; undefined if the option is not given. */
export function durationValue(values: OptionValues, name: string): number | undefined {
  const text = textValue(values, name)
  if (text === undefined) return undefined
  const duration = parseDuration(text)
  if (duration !== undefined && duration > 0) return duration
  throw usage(`--${name}: must be a duration such as 30s or 10m, not ${JSON.stringify(text)}`)
}

export function textValue(values: OptionValues, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

export function usage(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', message)
}
