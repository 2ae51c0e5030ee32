import { dirname } from 'node:path'

import { renderEncryptionConfig } from '../../encryption/render.ts'
import type { NodeFilesOptions } from './node-files.ts'
import { renderSystemdUnit } from './systemd.ts'
import { renderTokenService, renderTokenTimer } from './token-timer.ts'

/** What differs between k3s and RKE2: paths, and whether kube-apiserver runs in a pod, which needs mounts. */
interface Distribution {
  readonly name: string
  readonly folder: 'k3s' | 'rke2'
  readonly unit: string
  /** The command kubectl, and where it is installed, besides the usual folders. */
  readonly kubectl: string
  readonly programs: string
  readonly inPod: boolean
  /** RKE2 encrypts Secrets with its own key from its first start. */
  readonly oldProvider: 'identity' | 'aescbc'
}

const K3S: Distribution = {
  name: 'k3s',
  folder: 'k3s',
  unit: 'k3s.service',
  kubectl: 'k3s kubectl',
  programs: '/opt/bin',
  inPod: false,
  oldProvider: 'identity',
}

const RKE2: Distribution = {
  name: 'RKE2',
  folder: 'rke2',
  unit: 'rke2-server.service',
  kubectl: 'kubectl',
  programs: '/var/lib/rancher/rke2/bin',
  inPod: true,
  oldProvider: 'aescbc',
}

/** A shell script that writes the files of a k3s server. */
export function renderK3s(options: NodeFilesOptions): string {
  return renderScript(K3S, options)
}

/** A shell script that writes the files of an RKE2 server. */
export function renderRke2(options: NodeFilesOptions): string {
  return renderScript(RKE2, options)
}

function renderScript(distribution: Distribution, options: NodeFilesOptions): string {
  const { name, folder } = distribution
  const { token } = options
  const configFolder = dirname(options.configFile)
  const encryptionFile = `${configFolder}/encryption/config.yaml`
  return [
    `# Writes the files of transit-bridge on a server of ${name}. Read it, then run it as root: sh FILE`,
    '# It starts nothing. docs/operations/k3s.md shows the next steps.',
    'set -eu',
    'umask 077',
    ...write('/etc/systemd/system/transit-bridge-kms.service', renderSystemdUnit(options)),
    ...(token === undefined
      ? []
      : [
          ...write(
            '/etc/systemd/system/transit-bridge-token.service',
            renderTokenService({
              token,
              kubeconfig: `/etc/rancher/${folder}/${folder}.yaml`,
              after: distribution.unit,
              kubectl: distribution.kubectl,
              programs: distribution.programs,
            }),
          ),
          ...write('/etc/systemd/system/transit-bridge-token.timer', renderTokenTimer()),
          `# ${name} applies what is in this folder, on every start and when it changes.`,
          ...write(
            `/var/lib/rancher/${folder}/server/manifests/transit-bridge.yaml`,
            SERVICE_ACCOUNT,
          ),
        ]),
    '# A later step of a migration may have changed this file, so it is not written again.',
    `if [ ! -e ${quote(encryptionFile)} ]; then`,
    // Under another name first: a next run would keep a part of it, as a full disk leaves it.
    ...write(`${encryptionFile}.new`, encryptionConfigOf(distribution, options.socket)),
    `mv ${quote(`${encryptionFile}.new`)} ${quote(encryptionFile)}`,
    'fi',
    `# Not yet in /etc/rancher/${folder}/config.yaml.d: ${name} must not read it before the plugin serves.`,
    ...write(`${configFolder}/server.yaml`, serverConfig(distribution, options, encryptionFile)),
    '',
  ].join('\n')
}

const SERVICE_ACCOUNT = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: transit-bridge-kms
  namespace: kube-system
automountServiceAccountToken: false
`

function encryptionConfigOf({ oldProvider }: Distribution, socket: string): string {
  return renderEncryptionConfig({
    name: 'transit-bridge',
    resources: ['secrets'],
    timeout: '3s',
    socket,
    move: oldProvider === 'identity' ? undefined : { from: { kind: oldProvider }, step: 'read' },
  })
}

/** With +, the values are added to those of config.yaml and of other files. */
function serverConfig(
  { folder, inPod }: Distribution,
  { socket }: NodeFilesOptions,
  encryptionFile: string,
): string {
  const [socketFolder, encryptionFolder] = [dirname(socket), dirname(encryptionFile)]
  return [
    `# /etc/rancher/${folder}/config.yaml.d/transit-bridge.yaml`,
    'kube-apiserver-arg+:',
    `  - ${quoteYaml(`encryption-provider-config=${encryptionFile}`)}`,
    "  - 'encryption-provider-config-automatic-reload=true'",
    ...(inPod
      ? [
          'kube-apiserver-extra-mount+:',
          `  - ${quoteYaml(`${encryptionFolder}:${encryptionFolder}:ro`)}`,
          `  - ${quoteYaml(`${socketFolder}:${socketFolder}`)}`,
        ]
      : []),
    '',
  ].join('\n')
}

/** The shell commands that write a file. */
function write(file: string, text: string): readonly string[] {
  return [
    `mkdir -p ${quote(dirname(file))}`,
    `cat > ${quote(file)} <<'END_OF_FILE'`,
    `${text.trimEnd()}\nEND_OF_FILE`,
  ]
}

function quote(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

function quoteYaml(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
