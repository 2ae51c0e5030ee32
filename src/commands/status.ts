import { systemClock } from '../time/clock.ts'
import { makeClusterStatus } from '../status/cluster-status.ts'
import { formatStatus } from '../status/text.ts'
import { sharesOf } from '../verify/stored-keys.ts'
import { durationValue, openCluster, readPlugins } from './cli/cluster-options.ts'
import type { OptionValues } from './cli/command.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { openOperatorVault } from './cli/operator-vault.ts'
import { checkEtcdOptions, namesEtcd, reportEtcd } from './cli/stored-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Says how a cluster's encryption is at a glance. Nothing is changed. */
export async function runStatus(values: OptionValues, terminal: Terminal): Promise<number> {
  const rotateEvery = durationValue(values, 'rotate-every')
  const plugins = readPlugins(values)
  checkEtcdOptions(values)
  const servers = await openCluster(values, terminal, systemClock)
  try {
    const [reading, key, stored] = await Promise.all([
      servers.read(plugins),
      readKey(values, terminal),
      readShares(values, terminal),
    ])
    const now = systemClock.now()
    const status = makeClusterStatus({
      reading,
      demand: { configsMayDiffer: values['configs-may-differ'] === true },
      ...key,
      ...(stored === undefined ? {} : { stored }),
      ...(rotateEvery === undefined ? {} : { rotateEvery }),
      now,
    })
    print(
      terminal,
      values['json'] === true ? JSON.stringify(status, null, 2) : formatStatus(status, now),
    )
    return status.ok ? EXIT_OK : EXIT_FAILED
  } finally {
    servers.close()
  }
}

async function readKey(values: OptionValues, terminal: Terminal) {
  if (values['config'] === undefined) return {}
  const vault = await openOperatorVault(values, terminal)
  try {
    const key = await vault.key.read()
    return { key, versions: vault.versionsOf(key) }
  } finally {
    await vault.close()
  }
}

async function readShares(values: OptionValues, terminal: Terminal) {
  if (!namesEtcd(values)) return undefined
  return sharesOf(await untilInterrupted((signal) => reportEtcd(values, terminal, signal)))
}
