import { dirname } from 'node:path'

import { foldersOf, type NodeFilesOptions } from './node-files.ts'

/** A systemd unit, which starts the plugin before the kubelet, k3s or RKE2. */
export function renderSystemdUnit(options: NodeFilesOptions): string {
  const { configFile, program, socketGroup } = options
  const socketFolder = dirname(options.socket)
  // systemd creates a folder directly in /run. Any other folder must exist, through a drop-in or tmpfiles.d.
  const runtime = /^\/run\/([^/]+)$/.exec(socketFolder)?.[1]
  return [
    '# /etc/systemd/system/transit-bridge-kms.service, on every control-plane node:',
    '#   systemctl daemon-reload && systemctl enable --now transit-bridge-kms',
    '# k3s and RKE2 require such a unit: they read Secrets when they start, before their kubelet runs any pod.',
    '[Unit]',
    'Description=transit-bridge: KMS v2 plugin for kube-apiserver',
    'Documentation=man:systemd.service(5)',
    'Wants=network-online.target',
    'After=network-online.target',
    'Before=kubelet.service k3s.service rke2-server.service',
    '# Retry without a limit: the next attempt reads a corrected configuration.',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${quote(program)} kms --config ${quote(configFile)}`,
    'Restart=always',
    'RestartSec=1',
    'TimeoutStopSec=10',
    ...(runtime === undefined
      ? [`ReadWritePaths=-${quote(socketFolder)}`]
      : [
          `RuntimeDirectory=${runtime}`,
          `RuntimeDirectoryMode=${socketGroup === undefined ? '0700' : '0750'}`,
          '# The pod of kube-apiserver may have mounted the folder, so a restart must not replace it.',
          'RuntimeDirectoryPreserve=yes',
        ]),
    ...(socketGroup === undefined
      ? []
      : [
          '# kms.socketGroup: the folder of the socket belongs to the group of the process.',
          `Group=${String(socketGroup)}`,
        ]),
    ...renderState(options.sealedFile),
    `ReadOnlyPaths=${foldersOf(options)
      .map((folder) => `-${quote(folder)}`)
      .join(' ')}`,
    ...HARDENING,
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n')
}

/** The folder of the sealed file. systemd creates a folder directly in /var/lib. */
function renderState(sealedFile: string | undefined): readonly string[] {
  if (sealedFile === undefined) return []
  const folder = dirname(sealedFile)
  const state = /^\/var\/lib\/([^/]+)$/.exec(folder)?.[1]
  // With "-", systemd starts the plugin even if the folder is missing, and the plugin reports that.
  if (state === undefined) return [`ReadWritePaths=-${quote(folder)}`]
  return [`StateDirectory=${state}`, 'StateDirectoryMode=0700']
}

/** JavaScript is compiled while it runs, so MemoryDenyWriteExecute cannot be set. */
const HARDENING = [
  'UMask=0077',
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'LimitCORE=0',
  'OOMScoreAdjust=-900',
]

/** systemd.syntax(7): a word with special characters is quoted, and % is doubled. */
export function quote(word: string): string {
  const doubled = word.replaceAll('%', '%%')
  return /^[\w./:=%+-]+$/.test(doubled) ? doubled : `"${doubled.replaceAll(/["\\]/g, '\\$&')}"`
}
