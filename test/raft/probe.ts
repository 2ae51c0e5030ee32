// Asks each node of Vault directly, again and again, from the host of the plugin: what Vault itself can do in a moment. The only
// argument is JSON (ProbeTask); each answer is one line of JSON (ProbeLine).
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProbeLine, ProbeTask } from './availability.ts'

const PAUSE_MS = 100
const TIMEOUT_MS = 1_000

const { nodes, login, loginBody, encrypt, token } = JSON.parse(process.argv[2] ?? '') as ProbeTask

/** A login writes to the storage, so it needs a leader; an encrypt needs only the node itself. */
async function ask(node: string): Promise<boolean> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const post = async (path: string, body: string) => {
    const headers = { 'x-vault-token': token }
    const answer = await fetch(`${node}/v1/${path}`, { method: 'POST', headers, body, signal })
    await answer.arrayBuffer()
    return answer.ok
  }
  try {
    return (await post(login, loginBody)) && (await post(encrypt, '{"plaintext":"AAAA"}'))
  } catch {
    return false
  }
}

function now(): number {
  return performance.timeOrigin + performance.now()
}

async function repeat(index: number, node: string): Promise<never> {
  for (;;) {
    const from = now()
    const isOk = await ask(node)
    const line: ProbeLine = { node: index, from, to: now(), isOk }
    process.stdout.write(`${JSON.stringify(line)}\n`)
    await sleep(PAUSE_MS)
  }
}

await Promise.all(nodes.map((node, index) => repeat(index, node)))
