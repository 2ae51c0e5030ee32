import { test } from 'tap'

import { readMetrics } from '../../src/convergence/api-server-metrics.ts'
import type { KubeClient } from '../../src/kube/client.ts'

const CONFIG = 'apiserver_encryption_config_controller_last_config_info'
const STATUS = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'

/** A fake, because no API server reports two: a proxy in between might join the metrics of two API servers. */
function read(...lines: readonly string[]) {
  const stream = async function* () {
    yield* lines
  }
  const client: Pick<KubeClient, 'lines'> = {
    lines: () => Promise.resolve({ lines: stream(), time: 2_000_000 }),
  }
  return readMetrics(client as KubeClient)
}

void test('an API server has one identity and one EncryptionConfiguration', async (t) => {
  t.match(
    await read(
      `${CONFIG}{apiserver_id_hash="sha256:a",hash="sha256:c"} 1`,
      `${STATUS}{apiserver_id_hash="sha256:a",key_id_hash="sha256:k",provider_name="tb"} 1990`,
    ),
    {
      id: 'sha256:a',
      configHash: 'sha256:c',
      keys: new Map([['tb', { hash: 'sha256:k', at: 1990, ageSeconds: 10 }]]),
    },
  )
})

void test('two hashes of the EncryptionConfiguration, or two identities, prove neither', async (t) => {
  const configs = ['c', 'd'].map((hash) => `${CONFIG}{apiserver_id_hash="a",hash="${hash}"} 1`)
  t.match(await read(...configs), { id: 'a', configHash: undefined })
  t.match(await read(...configs.toReversed()), { configHash: undefined })
  const ids = ['a', 'b'].map((id) => `${CONFIG}{apiserver_id_hash="${id}",hash="c"} 1`)
  t.match(await read(...ids), { id: undefined, configHash: 'c' })
})
