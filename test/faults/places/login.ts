import { createKmsLab } from '../kms-lab.ts'
import type { Expected } from '../fault.ts'
import { runPlace } from '../run-place.ts'
import type { Subject } from '../subject.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { eventually } from '../../real/host/eventually.ts'

const requests = (_method: string, path: string) => path.endsWith('/login')

/** Until a login has succeeded, or one has failed and the old token has ended. */
async function awaitLogin({ program }: Subject, { answer }: Expected): Promise<void> {
  const count = async () => {
    const { text } = await program.admin('/metrics')
    return findSamples(text, 'transit_bridge_vault_logins_total')
      .filter(({ labels }) => (labels['outcome'] === 'ok') === (answer === 'OK'))
      .reduce((sum, { value }) => sum + value, 0)
  }
  const before = await count()
  await eventually('the next login', async () => (await count()) > before, { timeoutMs: 60_000 })
  if (answer === 'OK') return
  await eventually('the end of the token', async () => {
    const { text } = await program.admin('/readyz?format=json')
    return !text.includes('vaultTokenExpiresAt')
  })
}

await runPlace(
  createKmsLab({ place: 'login', call: 'encrypt', requests, ttl: '2s', bringAbout: awaitLogin }),
)
