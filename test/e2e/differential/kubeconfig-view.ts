import { BridgeError } from '../../../src/errors.ts'
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts'

export const TOKEN_IN_FILE = 'def\n'

/** What the loaders report of a kubeconfig (tools/kubernetes/loaders). */
export interface KubectlView {
  readonly server: string
  readonly insecure: boolean
  readonly proxy: boolean
  readonly exec: boolean
  readonly authProvider: boolean
  readonly password: boolean
}

/** What this program reads in a kubeconfig, in the form of the loaders, or why it refuses it. */
export async function viewKubeconfig(file: string, context?: string): Promise<object | string> {
  try {
    const access = await readKubeconfig(file, context)
    const { impersonation } = access
    return {
      server: access.server,
      ca: access.ca ?? '',
      cert: access.certificate?.cert ?? '',
      key: access.certificate?.key.reveal() ?? '',
      token: access.token?.reveal() ?? '',
      tokenFile: access.tokenFile ?? '',
      serverName: access.tlsServerName ?? '',
      as: impersonation?.user ?? '',
      asUid: impersonation?.uid ?? '',
      asGroups: impersonation?.groups ?? [],
      asExtra: impersonation?.extra ?? {},
    }
  } catch (error) {
    const { code, message } = BridgeError.from(error)
    if (code !== 'CONFIG_INVALID') throw error
    return message
  }
}

/** The same fields of the loaders' answer. */
export function reduceView(view: KubectlView & Readonly<Record<string, unknown>>): object {
  const { insecure: _i, proxy: _p, exec: _e, authProvider: _a, password: _w, ...fields } = view
  return {
    ...fields,
    server: view.server.replace(/[?#].*$/, '').replace(/\/+$/, ''),
    // kubectl has read the file already; this program reads it before each request.
    token: view['token'] === TOKEN_IN_FILE ? '' : view['token'],
    asGroups: view['asGroups'] ?? [],
    asExtra: view['asExtra'] ?? {},
  }
}
