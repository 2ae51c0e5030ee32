// Volumes with a socket on a real node: the kubelet registers our own CSI driver, with the object of docs/runtime.md, and pods
// use Transit without a token.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'

import { whyNoNode, type KubeNode } from '../../real/cluster/kube-node.ts'
import { pod, SHOP, startRuntimeNode } from './runtime-node.ts'

/** Signs, verifies, tries another team's key, and looks for a token of Vault in what the pod can see. */
const SIGNER = `
  const { request } = require('node:http')
  const { openSync, readdirSync, readFileSync, readSync, writeFileSync } = require('node:fs')
  // A token of OpenBao or Vault: a letter can follow s. in a program, too, but hardly with a digit in 24 characters.
  const TOKEN = /\\b(?:hv)?s\\.(?=[A-Za-z]*\\d)[A-Za-z0-9_-]{24,}/g
  const findTokensInMemory = () => {
    const memory = openSync('/proc/self/mem')
    const found = new Set()
    for (const [, from, to] of readFileSync('/proc/self/maps', 'utf8').matchAll(/^(\\w+)-(\\w+) rw.*$/gm)) {
      const piece = Buffer.alloc(1 << 20)
      for (let at = parseInt(from, 16); at < parseInt(to, 16); at += piece.length - 128) {
        try {
          const length = readSync(memory, piece, 0, Math.min(piece.length, parseInt(to, 16) - at), at)
          for (const [token] of piece.latin1Slice(0, length).matchAll(TOKEN)) found.add(token)
        } catch {
          // The region was released meanwhile.
        }
      }
    }
    return found
  }
  const ask = (path, body) => new Promise((resolve, reject) => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/' + path, method: body ? 'POST' : 'GET', agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: response.statusCode, ...JSON.parse(text) }))
    })
    sent.on('error', reject).end(body && JSON.stringify(body))
  })
  const main = async () => {
    const input = Buffer.from('a release').toString('base64')
    const signed = await ask('transit/sign/app-signing', { input })
    const verified = await ask('transit/verify/app-signing', { input, signature: signed.data.signature })
    const other = await ask('transit/sign/team-signing', { input })
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8') + readFileSync('/proc/self/environ', 'utf8')
    // Shows that the search finds one.
    const planted = 's.' + 'q7'.repeat(12)
    const held = Buffer.from(planted)
    const tokens = findTokensInMemory()
    const isFound = tokens.delete(held.toString())
    return { valid: verified.data.valid, other: other.status, files: readdirSync('/transit'), token: /hvs?\\.|\\bs\\.[A-Za-z0-9]{20}/.test(mounts), isFound, tokens: tokens.size, user: process.getuid() }
  }
  main().then(JSON.stringify, String).then((words) => writeFileSync('/dev/termination-log', words))`

/** Hashes without a pause, even while the driver is down; reports how often that failed, and for how long at most. */
const LOADER = `
  const { request, Agent } = require('node:http')
  const { writeFileSync } = require('node:fs')
  const agent = new Agent({ keepAlive: true })
  const ask = () => new Promise((resolve) => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/transit/hash', method: 'POST', agent, timeout: 2000 }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
    sent.on('timeout', () => sent.destroy()).on('error', () => resolve(0)).end('{"input":"YQ=="}')
  })
  const main = async () => {
    const seen = {}, end = Date.now() + 15000
    let answered = Date.now(), gap = 0
    while (Date.now() < end) {
      const status = await ask()
      seen[status] = (seen[status] ?? 0) + 1
      if (status === 200) { gap = Math.max(gap, Date.now() - answered); answered = Date.now() }
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return { seen, gap, last: await ask() }
  }
  main().then(JSON.stringify, String).then((words) => writeFileSync('/dev/termination-log', words))`

async function lastWords(t: Test, node: KubeNode, name: string) {
  let words = ''
  try {
    await node.waitUntil(`pod ${name} to end`, async () => {
      const { status } = await node.api('GET', `${SHOP}/pods/${name}`)
      words = status.containerStatuses?.[0]?.state?.terminated?.message ?? ''
      return words !== ''
    })
  } catch (error) {
    const events = await node.api('GET', `${SHOP}/events`)
    t.comment(JSON.stringify(events.items.map((e: { message: string }) => e.message)))
    throw error
  }
  t.match(words, /^\{/)
  return JSON.parse(words) as Record<string, unknown>
}

void test('a pod signs through the socket in its volume', { skip: whyNoNode() }, async (t) => {
  const { node, vault, driver } = await startRuntimeNode(t)

  await t.test('it signs and verifies, and has no token', async (t) => {
    const since = vault.bao.auditMark()
    await node.api('POST', `${SHOP}/pods`, pod('signer', SIGNER))
    t.same(await lastWords(t, node, 'signer'), {
      valid: true,
      other: 403,
      files: ['vault.sock'],
      token: false,
      isFound: true,
      tokens: 0,
      user: 65534,
    })
    const requests = vault.bao.auditRequests({ since, path: /^transit\/sign/ })
    t.same(
      requests.map(({ path }) => path),
      ['transit/sign/app-signing'],
    )
    t.match(requests[0]?.headers['x-transit-bridge-uid']?.[0], /^shop\/signer\//)
  })

  await t.test(
    'the driver is killed under load, and the pod goes on when it is back',
    async (t) => {
      await node.api('POST', `${SHOP}/pods`, pod('loader', LOADER))
      await node.waitUntil('the pod to run', async () => {
        const { status } = await node.api('GET', `${SHOP}/pods/loader`)
        return status.containerStatuses?.[0]?.state?.running !== undefined
      })
      await driver.kill()
      driver.start()
      const words = await lastWords(t, node, 'loader')
      t.comment(JSON.stringify(words))
      t.match(words, { last: 200 })
    },
  )

  await t.test('a pod that is deleted leaves nothing behind', async (t) => {
    const folders = () => readdirSync(join(node.folder, 'disk/lib/kubelet/pods'))
    for (const name of ['signer', 'loader']) await node.api('DELETE', `${SHOP}/pods/${name}`)
    await node.waitUntil('the pods to be gone', async () => {
      const { items } = await node.api('GET', `${SHOP}/pods`)
      return items.length === 0 && folders().length === 0
    })
    t.pass('kubelet removed the folders of the pods')
  })
})
