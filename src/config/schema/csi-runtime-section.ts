import * as v from 'valibot'

import { toggle, wholeNumber } from './number.ts'
import { socketPath } from './socket.ts'
import { filePath } from './text.ts'

/** CSI v1.11.0, GetPluginInfoResponse: a domain name of at most 63 characters. */
const DRIVER_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$/
/** Names of nodes: DNS subdomains, RFC 1123. */
const NODE_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/
/** What follows the folder in the path of a socket while it is created: `/links/0123456789abcdef/.abcdef/s`. */
const MAX_STATE_FOLDER_BYTES = 70

const STATE_FOLDER =
  'Folder for what a restart needs to serve the sockets of running pods. In memory (tmpfs), it also holds the tokens of ' +
  'the pods; on a disk it never does, and after a restart pods receive 503 until the next call of the kubelet.'

/** The section `csi.runtime`: sockets with Transit's API in the volumes of pods. */
export const runtimeSection = v.pipe(
  v.strictObject({
    enabled: toggle('Whether the CSI driver for run-time sockets is served.'),
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
      v.pipe(
        filePath(STATE_FOLDER),
        v.check(
          (text) => Buffer.byteLength(text) <= MAX_STATE_FOLDER_BYTES,
          `is too long, because paths of sockets begin with it; use at most ${String(MAX_STATE_FOLDER_BYTES)} bytes`,
        ),
        v.description(STATE_FOLDER),
        v.metadata({ kind: 'folder' }),
      ),
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
  v.description('Sockets with the API of Transit in the volumes of pods.'),
  v.transform(({ enabled, ...rest }) => (enabled ? rest : undefined)),
)
