import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, request as sendRequest } from 'node:https'
import { text } from 'node:stream/consumers'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
/** One request (milliseconds). */
const TIMEOUT = 10_000

export interface KubeAnswer {
  readonly status: number
  readonly body: unknown
}

/** The API server, as a pod finds it. */
export interface InClusterApi {
  /** Sends one request. Throws HOST_FAILED when no answer comes. */
  request(method: 'GET' | 'PATCH', path: string, patch?: readonly object[]): Promise<KubeAnswer>
  close(): Promise<void>
}

/** Connects under the service account of this pod. Throws HOST_FAILED outside of one. */
export async function connectInCluster(
  environment: Environment,
  folder = FOLDER,
): Promise<InClusterApi> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
  if (host === undefined) throw failed('KUBERNETES_SERVICE_HOST is not set: this is no pod')
  const [ca, token] = await Promise.all([read(`${folder}/ca.crt`), read(`${folder}/token`)])
  const origin = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  const agent = new Agent({ ca, keepAlive: true })
  const authorization = `Bearer ${token.trim()}`
  return {
    request: (method, path, patch) =>
      send(new URL(path, origin), { agent, method, authorization, patch }),
    close() {
      agent.destroy()
      return Promise.resolve()
    },
  }
}

interface Sending {
  readonly agent: Agent
  readonly method: string
  readonly authorization: string
  readonly patch: readonly object[] | undefined
}

async function send(url: URL, sending: Sending): Promise<KubeAnswer> {
  const { agent, method, authorization, patch } = sending
  const type = patch === undefined ? {} : { 'content-type': 'application/json-patch+json' }
  const headers = { authorization, accept: 'application/json', ...type }
  try {
    const request = sendRequest(url, { agent, method, headers, timeout: TIMEOUT })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.end(patch === undefined ? undefined : JSON.stringify(patch))
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    return { status: answer.statusCode ?? 0, body: JSON.parse(await text(answer)) as unknown }
  } catch (cause) {
    throw failed(`the API server at ${url.origin} does not answer`, cause)
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw failed(`${file} cannot be read: this pod has no service-account token mounted`, cause)
  }
}

function failed(message: string, cause?: unknown): BridgeError {
  return new BridgeError('HOST_FAILED', message, { cause })
}
