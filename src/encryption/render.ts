import { explainStep, type MoveStep, type OldProvider } from './move.ts'

export interface EncryptionConfigOptions {
  /** kms.socket of the plugin. */
  readonly socket: string
  /** Part of the stored prefix, so it can never change. */
  readonly name: string
  readonly resources: readonly string[]
  readonly timeout: string
  /** Undefined for a cluster with one API server and no encrypted data. */
  readonly move?: { readonly from: OldProvider; readonly step: MoveStep } | undefined
}

/** Renders an EncryptionConfiguration with instructions as comments. */
export function renderEncryptionConfig(options: EncryptionConfigOptions): string {
  const { move, resources } = options
  const explanation = move === undefined ? FRESH : explainStep(move.step)
  return [
    ...explanation.map((line) => `# ${line}`),
    'apiVersion: apiserver.config.k8s.io/v1',
    'kind: EncryptionConfiguration',
    'resources:',
    '  - resources:',
    ...resources.map((name) => `      - ${JSON.stringify(name)}`),
    '    providers:',
    ...orderProviders(options).map((line) => `      ${line}`),
    '',
  ].join('\n')
}

const FRESH = [
  'For --encryption-provider-config of kube-apiserver. With several API servers, or with data of another provider,',
  'use --from and --step: an API server without this file cannot read what the others write.',
]

function orderProviders({ move, ...ours }: EncryptionConfigOptions): readonly string[] {
  const kms = renderKms(
    ours.name,
    ours.socket,
    ours.timeout,
    '      # never change it: it is part of the stored data',
  )
  const identity = ['- identity: {}      # reads plaintext; remove it when none is left']
  if (move === undefined) return [...kms, ...identity]
  const old = renderOld(move.from, ours.timeout)
  // In addition to another provider's data, there may be older plaintext.
  const rest = move.from.kind === 'identity' ? [] : identity
  if (move.step === 'remove') return kms
  return move.step === 'read' ? [...old, ...kms, ...rest] : [...kms, ...old, ...rest]
}

function renderKms(name: string, socket: string, timeout: string, remark = ''): readonly string[] {
  return [
    '- kms:',
    '    apiVersion: v2',
    `    name: ${JSON.stringify(name)}${remark}`,
    `    endpoint: ${JSON.stringify(`unix://${encodeURI(socket)}`)}`,
    `    timeout: ${timeout}`,
  ]
}

function renderOld(from: OldProvider, timeout: string): readonly string[] {
  switch (from.kind) {
    case 'kms':
      return renderKms(from.name, from.socket, timeout)
    case 'identity':
      return ['- identity: {}']
    case 'aescbc':
    case 'aesgcm':
    case 'secretbox':
      return [
        `- ${from.kind}:      # copy it from the current file: all of its keys, in the same order`,
        '    keys:',
        '      - name: NAME-OF-THE-KEY',
        '        secret: ITS-SECRET',
      ]
  }
}
