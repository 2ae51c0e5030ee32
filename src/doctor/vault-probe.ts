import { request as requestPlain, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { TLSSocket, type DetailedPeerCertificate } from 'node:tls'
import * as v from 'valibot'

import type { VaultConnection } from '../config/config.ts'
import { readNetworkFailure } from '../vault/client/network-failure.ts'
import { readTlsFiles } from '../vault/tls/tls-files.ts'
import type { CertificateLife } from './certificate-life.ts'
import { wordsOf } from './finding.ts'

const TIMEOUT_MS = 5_000
const MAX_BODY_CHARACTERS = 64 * 1024

/** What Vault shows at one address without a login. */
export interface VaultView {
  readonly address: string
  /** Why nothing else is known. */
  readonly problem?: string | undefined
  readonly health?: VaultHealth | undefined
  /** Its clock, in milliseconds since 1970, rounded to the second. */
  readonly time?: number | undefined
  /** The certificates of the chain that it sent, its own first. */
  readonly certificates: readonly CertificateLife[]
}

/** What sys/health reports. */
export interface VaultHealth {
  readonly initialized: boolean
  readonly sealed: boolean
  readonly version: string
  /** Only HashiCorp's Vault since 1.17 reports it. */
  readonly enterprise?: boolean | undefined
}

const Health = v.object({
  initialized: v.boolean(),
  sealed: v.boolean(),
  version: v.optional(v.string(), 'unknown'),
  enterprise: v.optional(v.boolean()),
})

/** Reads sys/health at an address, which needs no token. Never throws. */
export async function viewVault(address: string, config: VaultConnection): Promise<VaultView> {
  try {
    const tls = address.startsWith('https:') ? await readTlsFiles(config) : {}
    return await ask(address, { ...tls, servername: config.serverName })
  } catch (thrown) {
    return { address, problem: wordsOf(thrown), certificates: [] }
  }
}

function ask(address: string, tls: object): Promise<VaultView> {
  const { promise, resolve, reject } = Promise.withResolvers<VaultView>()
  const url = new URL('/v1/sys/health?standbyok=true&sealedcode=200&uninitcode=200', address)
  const request = url.protocol === 'https:' ? requestTls : requestPlain
  const fail = (error: unknown) => reject(readNetworkFailure(error, address, false).error)
  // Set explicitly, so that NODE_TLS_REJECT_UNAUTHORIZED cannot turn it off.
  const call = request(url, { ...tls, rejectUnauthorized: true, agent: false }, (answer) => {
    readView(address, answer).then(resolve, fail)
  })
  call.on('error', fail)
  call.end()
  // Of the whole response: a server that sends a byte now and then is never idle.
  const timer = setTimeout(
    () => call.destroy(Object.assign(new Error('late'), { code: 'ETIMEDOUT' })),
    TIMEOUT_MS,
  )
  return promise.finally(() => clearTimeout(timer))
}

async function readView(address: string, answer: IncomingMessage): Promise<VaultView> {
  const certificates = answer.socket instanceof TLSSocket ? chainOf(answer.socket) : []
  const date = Date.parse(answer.headers.date ?? '')
  const health = parseHealth(await readBody(answer))
  return {
    address,
    certificates,
    time: Number.isNaN(date) ? undefined : date,
    health,
    problem: health === undefined ? `the server at ${address} is not Vault` : undefined,
  }
}

/** The beginning of a body that is too long. Throws if the response is cut off: no event of the request reports that. */
async function readBody(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of answer.setEncoding('utf8')) {
    text += String(part)
    if (text.length > MAX_BODY_CHARACTERS) break
  }
  return text
}

function parseHealth(text: string): VaultView['health'] {
  try {
    const parsed = v.safeParse(Health, JSON.parse(text), { abortEarly: true })
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

function chainOf(socket: TLSSocket): readonly CertificateLife[] {
  const chain: CertificateLife[] = []
  const seen = new Set<string>()
  let one: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  // A root certificate is its own issuer.
  while (one?.valid_to !== undefined && !seen.has(one.fingerprint256)) {
    seen.add(one.fingerprint256)
    const { CN } = one.subject
    chain.push({
      name: [CN ?? 'unnamed'].flat().join(' '),
      expiresAt: Date.parse(one.valid_to),
    })
    one = one.issuerCertificate
  }
  return chain
}
