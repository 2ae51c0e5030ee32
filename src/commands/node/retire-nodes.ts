import { defineCommand, type CommandValues } from '../cli/command.ts'
import { durationOr, requiredText, usageError, type Option } from '../cli/option.ts'
import { EXIT_OK, print, type Terminal } from '../cli/terminal.ts'
import { KubeClient } from '../../kube/client.ts'
import { requirePodAccess } from '../../kube/in-cluster.ts'
import { retireInstallers } from '../../node/install/retirement.ts'
import { systemClock } from '../../time/clock.ts'

const options = {
  daemonset: {
    ...requiredText('NAMESPACE/NAME', 'The DaemonSet of the installers.'),
    read: ([value = ''], label) => {
      const [namespace, name, ...more] = value.split('/')
      if (namespace && name && more.length === 0) return { namespace, name }
      throw usageError(`${label} must be NAMESPACE/NAME`)
    },
  } satisfies Option<{ readonly namespace: string; readonly name: string }>,
  timeout: durationOr('4m', 'How long to wait.'),
}

export const retireNodesCommand = defineCommand({
  name: 'retire-nodes',
  usage: ['--daemonset NAMESPACE/NAME [--timeout DURATION]'],
  description: `
Make every installer of a DaemonSet remove what it installed on its node, and
wait until all are done. It runs in a pod; the chart runs it before a release is
removed, if kms.removeOnUninstall is true.`,
  options,
  exitCodes: '0 done, 1 failed, 2 wrong usage.',
  examples: ['$ transit-bridge retire-nodes --daemonset transit-bridge/transit-bridge-kms'],
  run: runRetireNodes,
})

/** Makes every installer of a DaemonSet remove what it installed; Helm runs it before a removal. */
async function runRetireNodes(
  { daemonset: { namespace, name }, timeout }: CommandValues<typeof options>,
  terminal: Terminal,
): Promise<number> {
  const api = new KubeClient(requirePodAccess(terminal.environment), systemClock)
  try {
    const nodes = await retireInstallers({
      api,
      namespace,
      name,
      timeoutMs: timeout,
      clock: systemClock,
    })
    print(terminal, `${namespace}/${name}: the files were removed from ${String(nodes)} nodes`)
    return EXIT_OK
  } finally {
    api.close()
  }
}
