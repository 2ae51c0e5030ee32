import * as v from 'valibot'

import { toggle, wholeNumber } from './number.ts'
import { socketPath } from './socket.ts'
import { filePath } from './text.ts'

/** CSI v1.11.0, GetPluginInfoResponse: a domain name of at most 63 characters. */
const DRIVER_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$/
/** Names of nodes: DNS subdomains, RFC 1123. */
const NODE_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/

const STATE_FOLDER =
  'Folder with records, from which the driver serves the sockets of running pods again after a restart. On tmpfs, they include ' +
  'the tokens of the pods. On a disk they do not, and after a restart requests return 503 until the kubelet calls again.'

/** The section `csi.runtime`: sockets in the volumes of pods that serve Transit's API. */
export const runtimeSection = v.pipe(
  v.strictObject({
    enabled: toggle('Whether the CSI driver for run-time sockets runs.'),
    driverName: v.optional(
      v.pipe(
        v.string(),
        v.regex(DRIVER_NAME, 'is not a driver name; use a domain name of at most 63 characters'),
        v.description('Name of the CSI driver, as in its CSIDriver object.'),
        v.metadata({ kind: 'name' }),
      ),
      'transit.transit-bridge.io',
    ),
    socket: v.optional(
      socketPath('Unix socket that the kubelet calls. Its path must be the same on the host.'),
      '/var/lib/kubelet/plugins/transit.transit-bridge.io/csi.sock',
    ),
    registrationSocket: v.optional(
      socketPath('Unix socket in the folder in which the kubelet looks for plugins.'),
      '/var/lib/kubelet/plugins_registry/transit.transit-bridge.io-reg.sock',
    ),
    stateFolder: v.optional(
      v.pipe(filePath(STATE_FOLDER), v.description(STATE_FOLDER), v.metadata({ kind: 'folder' })),
      '/run/transit-bridge/csi',
    ),
    nodeName: v.exactOptional(
      v.pipe(
        v.string(),
        v.regex(NODE_NAME, 'is not the name of a node'),
        v.description('Name of the node. By default the name of the host.'),
        v.metadata({ kind: 'name' }),
      ),
    ),
    maxRequestsPerSecond: v.optional(
      wholeNumber('Requests per second that one volume may send.', 1, 100_000),
      500,
    ),
  }),
  v.description('Unix sockets in the volumes of pods that serve the API of Transit.'),
  v.transform(({ enabled, ...rest }) => (enabled ? rest : undefined)),
)
