import { NODE_KEY_CREDENTIAL } from '../../files/systemd-credential.ts'
import { CREDENTIAL_NAME } from '../../files/systemd-creds.ts'

const UNIT_NAME = 'transit-bridge-node-key'

/** Where the plugin finds the node key: kms.localKeys.nodeKeyFile. /run is in memory. */
export const NODE_KEY_FILE = `/run/${UNIT_NAME}/key`

/** Puts the node key into memory before anything starts the plugin: the kubelet, or its own unit. */
export const KEY_UNIT = {
  path: `/etc/systemd/system/${UNIT_NAME}.service`,
  content: `# Puts the node key of transit-bridge into memory before the kubelet or systemd starts the plugin.
[Unit]
Description=transit-bridge: node key
Documentation=man:systemd-creds(1)
Before=kubelet.service k3s.service rke2-server.service transit-bridge-kms.service

[Service]
Type=oneshot
RemainAfterExit=yes
LoadCredentialEncrypted=${CREDENTIAL_NAME}:${NODE_KEY_CREDENTIAL}
RuntimeDirectory=${UNIT_NAME}
RuntimeDirectoryMode=0700
# The static pod has mounted the folder, so a restart must not replace it.
RuntimeDirectoryPreserve=yes
ExecStart=install -m 0400 %d/${CREDENTIAL_NAME} ${NODE_KEY_FILE}
ExecStop=rm -f ${NODE_KEY_FILE}

[Install]
WantedBy=multi-user.target
`,
  /** What makes systemd use it. A restart, because a unit that is active keeps the node key of before. */
  commands: [
    'systemctl daemon-reload',
    `systemctl enable ${UNIT_NAME}`,
    `systemctl restart ${UNIT_NAME}`,
  ],
}
