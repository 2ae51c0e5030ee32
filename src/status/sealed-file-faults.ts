import * as v from 'valibot'

import { askAdmin } from '../admin/client.ts'
import { isSilentPlugin, type PluginReading } from '../convergence/plugin-view.ts'
import { BridgeError } from '../errors.ts'

/** The part of /readyz?format=json that is about the sealed file. */
const SealedFileReport = v.object({
  details: v.object({ sealedFileFault: v.optional(v.string()) }),
})

/** Which plugins cannot use or write their sealed file, one sentence each. A plugin that was silent is not asked again. */
export async function findSealedFileFaults(
  plugins: readonly PluginReading[],
): Promise<readonly string[]> {
  const addresses = plugins.filter((each) => !isSilentPlugin(each)).map(({ address }) => address)
  return (await Promise.all(addresses.map(findFault))).flat()
}

async function findFault(address: string): Promise<readonly string[]> {
  try {
    const { text } = await askAdmin(address, '/readyz?format=json')
    const { sealedFileFault: fault } = v.parse(SealedFileReport, JSON.parse(text)).details
    if (fault === undefined) return []
    return [
      `the plugin at ${address} reports a fault of its sealed file, so its node may need Vault to start: ${fault}`,
    ]
  } catch (error) {
    const { message } = BridgeError.from(error)
    return [`whether the plugin at ${address} can use its sealed file is unknown: ${message}`]
  }
}
