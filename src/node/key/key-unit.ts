import {
  NODE_KEY_CREDENTIAL,
  NODE_KEY_FILE,
  NODE_KEY_UNIT,
} from '../../files/systemd-credential.ts'
import { CREDENTIAL_NAME } from '../../files/systemd-creds.ts'

/** Puts the node key into memory before anything starts the plugin: the kubelet, or its own unit. */
export const KEY_UNIT = {
  path: `/etc/systemd/system/${NODE_KEY_UNIT}.service`,
  content: `# Puts the node key of transit-bridge into memory before the kubelet or systemd starts the plugin.
[Unit]
Description=transit-bridge: node key
Documentation=man:systemd-creds(1)
Before=kubelet.service k3s.service rke2-server.service transit-bridge-kms.service

[Service]
Type=oneshot
RemainAfterExit=yes
LoadCredentialEncrypted=${CREDENTIAL_NAME}:${NODE_KEY_CREDENTIAL}
RuntimeDirectory=${NODE_KEY_UNIT}
RuntimeDirectoryMode=0700
# The static pod has mounted the folder, so a restart must not replace it.
RuntimeDirectoryPreserve=yes
ExecStart=install -m 0400 %d/${CREDENTIAL_NAME} ${NODE_KEY_FILE}
ExecStop=rm -f ${NODE_KEY_FILE}

[Install]
WantedBy=multi-user.target
`,
  /** What makes systemd use it. A restart, because an active unit keeps the previous node key. */
  commands: [
    'systemctl daemon-reload',
    `systemctl enable ${NODE_KEY_UNIT}`,
    `systemctl restart ${NODE_KEY_UNIT}`,
  ],
}
