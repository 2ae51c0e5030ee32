import { readFile } from 'node:fs/promises'
import { Pool } from 'undici'

import type { Environment } from '../config/environment.ts'
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
  const pool = new Pool(origin, {
    connect: { ca },
    headersTimeout: TIMEOUT,
    bodyTimeout: TIMEOUT,
  })
  const headers = { authorization: `Bearer ${token.trim()}`, accept: 'application/json' }
  return {
    async request(method, path, patch) {
      const answer = await pool
        .request({
          method,
          path,
          headers:
            patch === undefined
              ? headers
              : { ...headers, 'content-type': 'application/json-patch+json' },
          ...(patch === undefined ? {} : { body: JSON.stringify(patch) }),
        })
        .catch((cause: unknown) => {
          throw failed(`the API server at ${origin} does not answer`, cause)
        })
      return { status: answer.statusCode, body: await answer.body.json() }
    },
    close: () => pool.close(),
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
