import { setTimeout as sleep } from 'node:timers/promises'
import { Balancer } from '../test/real/faults/balancer.ts'
import { fullFileSystem } from '../test/real/faults/full-file-system.ts'
import { HttpProxy, type HttpAnswer } from '../test/real/faults/http-proxy.ts'
import { TcpProxy } from '../test/real/faults/tcp-proxy.ts'
import { eventually } from '../test/real/host/eventually.ts'
import { whyNoMounts } from '../test/real/host/mount-namespace.ts'
import type { Plugin } from '../test/real/program/plugin.ts'
import { KmsVault } from '../test/real/vault/kms-vault.ts'
import { OpenBao } from '../test/real/vault/openbao.ts'
import { OpenBaoCluster } from '../test/real/vault/openbao-cluster.ts'
import { end, openSilently, timeExit, type Result, type Subject } from './outage-subject.ts'

const FAULT_MS = 3_000
const SLOW_CONNECTIONS = 128
const LIVEZ_MS = 2_000
const FULL_DISK_KIB = 1_024

export interface OutageCase {
  readonly name: string
  /** Why it cannot be measured here. */
  readonly skip?: string | false
  readonly run: (subject: Subject) => Promise<Result>
}

const GATEWAYS: Readonly<Record<string, HttpAnswer>> = {
  403: { status: 403, body: { message: 'forbidden' } },
  404: { status: 404, body: 'default backend - 404' },
  302: { status: 302, headers: { location: 'https://sso.test/' } },
  '200 and HTML': { status: 200, body: '<html>Sign in</html>' },
  502: { status: 502, body: '<html>502 Bad Gateway</html>' },
}

export const OUTAGE_CASES: readonly OutageCase[] = [
  {
    name: 'leader killed, one address of three nodes',
    run: (subject) => killLeader(subject, ({ addresses }) => addresses),
  },
  {
    name: 'leader killed, one address of it and of a standby that forwards to it',
    run: (subject) => killLeader(subject, ({ addresses }) => addresses.slice(0, 2)),
  },
  { name: 'one of three nodes behind one address is sealed for 3 s', run: sealStandby },
  { name: 'the only Vault is sealed for 3 s', run: sealVault },
  { name: 'first address down for 3 s, the second one is another Vault', run: failOver },
  ...Object.entries(GATEWAYS).map(([name, answer]) => ({
    name: `a gateway answers ${name} for 3 s`,
    run: (subject: Subject) => answerByGateway(subject, answer),
  })),
  ...[200, 400].map((callers) => ({
    name: `Vault hangs for 3 s, ${String(callers)} callers with a deadline of 1 s`,
    run: (subject: Subject) => hang(subject, callers),
  })),
  { name: `${String(SLOW_CONNECTIONS)} slow connections to the admin port`, run: holdAdminPort },
  { name: 'SIGTERM with a silent client', run: stopWithSilentClient },
  { name: 'full disk under the log, then SIGTERM', skip: whyNoMounts(), run: fillDisk },
]

/** The first member leads, the second one forwards to the leader, the third one answers Transit itself and redirects all else. */
async function killLeader(
  subject: Subject,
  choose: (cluster: OpenBaoCluster) => readonly string[],
): Promise<Result> {
  const cluster = await OpenBaoCluster.start()
  const leader = await cluster.leader()
  const balancer = await Balancer.start(choose(cluster))
  const vault = await KmsVault.start({ bao: leader, ttl: '4s' })
  try {
    return await subject.measure({ vault, address: balancer.address }, async () => {
      await leader.kill()
      await eventually('another leader', async () => (await cluster.leader()) !== leader, {
        timeoutMs: 60_000,
      })
      await leader.restart()
    })
  } finally {
    await balancer.stop()
    await cluster.stop()
  }
}

async function sealStandby(subject: Subject): Promise<Result> {
  const cluster = await OpenBaoCluster.start()
  const balancer = await Balancer.start(cluster.addresses)
  const vault = await KmsVault.start({ bao: await cluster.leader() })
  const [standby] = await cluster.standbys()
  try {
    return await subject.measure({ vault, address: balancer.address }, async () => {
      await standby?.restart({ sealed: true })
      balancer.use(cluster.addresses)
      await sleep(FAULT_MS)
      await standby?.unseal()
    })
  } finally {
    await balancer.stop()
    await cluster.stop()
  }
}

function sealVault(subject: Subject): Promise<Result> {
  return withVault((vault) =>
    subject.measure({ vault }, async () => {
      await vault.bao.seal()
      await sleep(FAULT_MS)
      await vault.bao.unseal()
    }),
  )
}

function failOver(subject: Subject): Promise<Result> {
  return withVault(async (vault) => {
    const other = await KmsVault.start({ bao: await OpenBao.start({ fresh: true }) })
    const network = await TcpProxy.start(vault.bao.address)
    const address = [network.address, other.bao.address]
    try {
      return await subject.measure({ vault, address }, async () => {
        await network.refuse()
        await sleep(FAULT_MS)
        await network.pass()
        await sleep(FAULT_MS)
      })
    } finally {
      await network.stop()
      await other.stop()
    }
  })
}

function answerByGateway(subject: Subject, answer: HttpAnswer): Promise<Result> {
  return withVault(async (vault) => {
    const gateway = await HttpProxy.start(vault.bao.address)
    try {
      return await subject.measure({ vault, address: gateway.address }, async () => {
        gateway.respond(answer)
        await sleep(FAULT_MS)
        gateway.clear()
      })
    } finally {
      await gateway.stop()
    }
  })
}

function hang(subject: Subject, callers: number): Promise<Result> {
  return withVault(async (vault) => {
    const network = await TcpProxy.start(vault.bao.address)
    // No load before and after the fault, because so many callers would keep two cores busy. If all of them started at once, they
    // would keep this process busy.
    const load = { callers, deadlineMs: 1_000, marginMs: 0, spreadMs: 1_000 }
    try {
      return await subject.measure({ vault, address: network.address, load }, async () => {
        await network.hang()
        await sleep(FAULT_MS)
        await network.pass()
      })
    } finally {
      await network.stop()
    }
  })
}

function holdAdminPort(subject: Subject): Promise<Result> {
  return withVault((vault) =>
    subject.measure({ vault }, async (plugin) => {
      const opened = Array.from({ length: SLOW_CONNECTIONS }, () => openSilently(plugin.adminPort))
      const sockets = await Promise.all(opened)
      for (const socket of sockets) socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ')
      try {
        return await askLivez(plugin)
      } finally {
        for (const socket of sockets) socket.destroy()
      }
    }),
  )
}

async function askLivez({ adminPort }: Plugin): Promise<string> {
  const startedAt = performance.now()
  try {
    const signal = AbortSignal.timeout(LIVEZ_MS)
    const { status } = await fetch(`http://127.0.0.1:${String(adminPort)}/livez`, { signal })
    return `livez: ${String(status)} after ${(performance.now() - startedAt).toFixed(0)} ms`
  } catch {
    return `livez: no answer in ${String(LIVEZ_MS / 1000)} s`
  }
}

function stopWithSilentClient(subject: Subject): Promise<Result> {
  return withVault(async (vault) => {
    const plugin = await subject.start({ vault })
    const client = await openSilently(plugin.socket)
    try {
      return { note: await timeExit(plugin) }
    } finally {
      client.destroy()
      await end(plugin)
    }
  })
}

async function fillDisk(subject: Subject): Promise<Result> {
  const disk = await fullFileSystem(FULL_DISK_KIB)
  try {
    disk.makeRoom()
    return await withVault((vault) => {
      const situation = { vault, logLevel: 'debug', wrap: disk.wrap, atEnd: timeExit }
      return subject.measure(situation, async () => {
        disk.fill()
        await sleep(FAULT_MS)
      })
    })
  } finally {
    await disk.stop()
  }
}

async function withVault(work: (vault: KmsVault) => Promise<Result>): Promise<Result> {
  const vault = await KmsVault.start({ audit: false })
  try {
    return await work(vault)
  } finally {
    await vault.stop()
  }
}
