import { basename, join } from 'node:path'

import { readFoldersOf, writtenFoldersOf, type NodeFilesOptions } from './node-files.ts'

/** A systemd unit, which starts the plugin before the kubelet, k3s or RKE2. */
export function renderSystemdUnit(options: NodeFilesOptions): string {
  const { configFile, program, socketGroup } = options
  const [socketFolder = '', stateFolder] = writtenFoldersOf(options)
  // systemd creates a folder directly in /run. Any other folder must exist, through a drop-in or tmpfiles.d.
  const runtime = nameIn('/run', socketFolder)
  const readFolders = readFoldersOf(options)
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
    `ExecStart=${quote(program)} kms --config ${quoteArgument(configFile)}`,
    'Restart=always',
    'RestartSec=1',
    'TimeoutStopSec=10',
    ...(runtime === undefined
      ? [`ReadWritePaths=-${quote(socketFolder)}`]
      : [
          `RuntimeDirectory=${quote(runtime)}`,
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
    ...renderState(stateFolder),
    ...(readFolders.length === 0
      ? []
      : [`ReadOnlyPaths=${readFolders.map((folder) => `-${quote(folder)}`).join(' ')}`]),
    ...HARDENING,
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n')
}

/** The folder of the sealed file. systemd creates a folder directly in /var/lib. */
function renderState(folder: string | undefined): readonly string[] {
  if (folder === undefined) return []
  const state = nameIn('/var/lib', folder)
  // With "-", systemd starts the plugin even if the folder is missing, and the plugin reports that.
  if (state === undefined) return [`ReadWritePaths=-${quote(folder)}`]
  return [`StateDirectory=${quote(state)}`, 'StateDirectoryMode=0700']
}

/** The name of a folder directly in another one, unless systemd would take a colon in it for a link: systemd.exec(5). */
function nameIn(parent: string, folder: string): string | undefined {
  const name = basename(folder)
  return join(parent, name) === folder && !name.includes(':') ? name : undefined
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

/** systemd.service(5), "Command lines": an argument can refer to variables, so $ is doubled. */
function quoteArgument(word: string): string {
  return quote(word.replaceAll('$', '$$$$'))
}
