import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { KubeClient } from '../kube/client.ts'
import { requirePodAccess } from '../kube/in-cluster.ts'
import { retireInstallers } from '../node/install/retirement.ts'
import { BridgeError } from '../errors.ts'
import { systemClock } from '../time/clock.ts'
import { parseDuration } from '../time/duration.ts'

/** Has every installer of a DaemonSet take off its node what it put there; what Helm calls before a removal. */
export async function runRetireNodes(values: OptionValues, terminal: Terminal): Promise<number> {
  const [namespace, name, ...more] = requireValue(values, 'daemonset').split('/')
  if (!namespace || !name || more.length > 0)
    throw new BridgeError('USAGE_INVALID', 'retire-nodes: --daemonset must be NAMESPACE/NAME')
  const timeout = parseDuration(String(values['timeout'] ?? '4m'))
  if (timeout === undefined)
    throw new BridgeError('USAGE_INVALID', 'retire-nodes: --timeout must be a duration: 4m')
  const api = new KubeClient(requirePodAccess(terminal.environment), systemClock)
  try {
    const nodes = await retireInstallers({ api, namespace, name, timeout, clock: systemClock })
    print(terminal, `${namespace}/${name}: the files are gone from ${String(nodes)} nodes`)
    return EXIT_OK
  } finally {
    api.close()
  }
}
