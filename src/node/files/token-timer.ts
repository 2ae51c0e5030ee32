import type { TokenFile } from './node-files.ts'
import { quote } from './systemd.ts'

interface TokenServiceOptions {
  readonly token: TokenFile
  readonly kubeconfig: string
  /** The unit that starts the API server. */
  readonly after: string
  /** The command kubectl, and where it is installed, besides the usual folders. */
  readonly kubectl: string
  readonly programs: string
}

/**
 * A unit that requests a service-account token once. It replaces the file only when it has a token: if the API server does
 * not answer, the old one stays. `sync` comes first because a file that is renamed can be empty after a power cut.
 */
export function renderTokenService(options: TokenServiceOptions): string {
  const { token, kubeconfig, after, kubectl, programs } = options
  const variables = {
    KUBECONFIG: kubeconfig,
    AUDIENCE: token.audience,
    TOKEN: token.file,
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${programs}`,
  }
  return [
    '[Unit]',
    'Description=New service-account token for transit-bridge',
    `After=${after}`,
    '',
    '[Service]',
    'Type=oneshot',
    '# Without a limit, a request that hangs would end the renewal, because the timer starts nothing that is still running.',
    'TimeoutStartSec=2min',
    'UMask=0077',
    ...Object.entries(variables).map(([name, value]) => `Environment=${quote(`${name}=${value}`)}`),
    '# 168h: the longest time that this server may be down, or without an API server, and then start alone.',
    `ExecStart=/bin/sh -c '${kubectl} ${COMMAND}'`,
    '',
  ].join('\n')
}

/** systemd.service(5): $$ is a dollar sign. */
const COMMAND = [
  '--namespace kube-system create token transit-bridge-kms --audience "$$AUDIENCE" --duration 168h > "$$TOKEN.new"',
  'sync "$$TOKEN.new"',
  'mv "$$TOKEN.new" "$$TOKEN"',
].join(' && ')

export function renderTokenTimer(): string {
  return [
    '[Unit]',
    'Description=Renew the service-account token of transit-bridge',
    '',
    '[Timer]',
    'OnBootSec=2min',
    'OnCalendar=hourly',
    'RandomizedDelaySec=10min',
    '',
    '[Install]',
    'WantedBy=timers.target',
    '',
  ].join('\n')
}
