import { dirname } from 'node:path'

import { foldersOf, type NodeFilesOptions } from './node-files.ts'

/** A systemd unit: the plugin is there before the kubelet, k3s or RKE2 starts anything. */
export function renderSystemdUnit(options: NodeFilesOptions): string {
  const { configFile, program, socketGroup } = options
  const socketFolder = dirname(options.socket)
  // systemd makes and keeps a folder directly in /run; another one must exist, by a drop-in or tmpfiles.d.
  const runtime = /^\/run\/([^/]+)$/.exec(socketFolder)?.[1]
  return [
    '# /etc/systemd/system/transit-bridge-kms.service, on every control-plane node:',
    '#   systemctl daemon-reload && systemctl enable --now transit-bridge-kms',
    '# k3s and RKE2 read Secrets at their start, before their kubelet runs any pod, so there it must be a unit like this one.',
    '[Unit]',
    'Description=transit-bridge: KMS v2 plugin for kube-apiserver',
    'Documentation=man:systemd.service(5)',
    'Wants=network-online.target',
    'After=network-online.target',
    'Before=kubelet.service k3s.service rke2-server.service',
    '# Never give up: a configuration that was fixed is read at the next attempt.',
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
          '# kube-apiserver may have the folder mounted into its pod: it must stay the same one.',
          'RuntimeDirectoryPreserve=yes',
        ]),
    ...(socketGroup === undefined
      ? []
      : [
          '# kms.socketGroup: the folder of the socket gets the group of the process.',
          `Group=${String(socketGroup)}`,
        ]),
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
function quote(word: string): string {
  const doubled = word.replaceAll('%', '%%')
  return /^[\w./:%+-]+$/.test(doubled) ? doubled : `"${doubled.replaceAll(/["\\]/g, '\\$&')}"`
}
