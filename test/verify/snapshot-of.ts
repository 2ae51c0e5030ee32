import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import { request } from 'undici'
import type { Etcd } from '../real/cluster/etcd.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

type Line = { result?: { blob?: string }; error?: { message: string } }

/** What `etcdctl snapshot save` writes, by way of etcd's JSON gateway: the database and its SHA-256. */
export async function saveSnapshot(etcd: Etcd): Promise<string> {
  const file = join(tempFolder('snapshot'), 'snapshot.db')
  const out = createWriteStream(file, { mode: 0o600 })
  const answer = await request(`${etcd.address}/v3/maintenance/snapshot`, {
    method: 'POST',
    body: '{}',
  })
  for await (const line of createInterface({ input: answer.body })) {
    const { result, error } = JSON.parse(line) as Line
    if (error !== undefined) throw new Error(`snapshot: ${error.message}`)
    out.write(Buffer.from(result?.blob ?? '', 'base64'))
  }
  out.end()
  await finished(out)
  return file
}

/** One call of etcd's JSON gateway: `kv/txn`, `kv/compaction`, `auth/enable`. */
export async function callEtcd(etcd: Etcd, path: string, body: unknown): Promise<unknown> {
  const answer = await request(`${etcd.address}/v3/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`etcd ${path}: ${text}`)
  return JSON.parse(text)
}

/** Puts many keys, a hundred in one transaction. */
export async function putAll(
  etcd: Etcd,
  entries: readonly (readonly [key: string, value: Buffer])[],
): Promise<void> {
  for (let start = 0; start < entries.length; start += 100) {
    const success = entries.slice(start, start + 100).map(([key, value]) => ({
      requestPut: {
        key: Buffer.from(key).toString('base64'),
        value: value.toString('base64'),
      },
    }))
    await callEtcd(etcd, 'kv/txn', { success })
  }
}
