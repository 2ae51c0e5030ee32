import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'

import { BridgeError } from '../errors.ts'
import { systemCodeOf } from './system-error.ts'

/** What systemd-creds encrypts a credential with: systemd-creds(1), --with-key. */
export const SEALING_KEYS = ['auto', 'host', 'tpm2', 'host+tpm2'] as const
export type SealingKey = (typeof SEALING_KEYS)[number]

/** The oldest version with systemd-creds and LoadCredentialEncrypted=. */
const LEAST_VERSION = 250
/** A TPM answers within seconds. */
const TIMEOUT_MS = 60_000
/** Far above the size of an encrypted credential of 32 bytes. */
const MAX_OUTPUT_BYTES = 1024 * 1024

/** The name that is part of the encrypted credential: it is not accepted under another one. */
export const CREDENTIAL_NAME = 'node-key'

export interface SystemdCredsOptions {
  /** The device of the TPM, for --tpm2-device. Default: systemd finds it. */
  readonly tpm2Device?: string | undefined
}

/** systemd-creds(1), which encrypts a credential with the TPM 2 of this machine, with a key of the host, or with both. */
export class SystemdCreds {
  readonly #device: readonly string[]

  constructor({ tpm2Device }: SystemdCredsOptions) {
    this.#device = tpm2Device === undefined ? [] : [`--tpm2-device=${tpm2Device}`]
  }

  /** Throws HOST_FAILED unless systemd is new enough. */
  async requireVersion(): Promise<void> {
    const output = await run(['--version'])
    const version = Number(/^systemd (\d+)/.exec(output.toString('utf8'))?.[1] ?? 0)
    if (version >= LEAST_VERSION) return
    throw new BridgeError(
      'HOST_FAILED',
      `systemd ${String(version)} has no encrypted credentials; ${String(LEAST_VERSION)} or newer is required`,
    )
  }

  /** Throws HOST_FAILED with the words of systemd-creds. */
  encrypt(secret: Buffer, key: SealingKey): Promise<Buffer> {
    return run(
      ['encrypt', `--with-key=${key}`, ...this.#device, `--name=${CREDENTIAL_NAME}`, '-', '-'],
      secret,
    )
  }

  /**
   * What systemd is missing to use a TPM 2 of this machine, such as "driver"; empty if nothing. Undefined if it does not report
   * this: systemd 250 has no such command. Throws HOST_FAILED.
   */
  async findMissingTpm2Parts(): Promise<readonly string[] | undefined> {
    const { output } = await runToEnd(['has-tpm2'])
    const [summary, ...parts] = output.toString('utf8').trim().split('\n')
    if (summary !== 'yes' && summary !== 'partial' && summary !== 'no') return undefined
    return parts.filter((part) => part.startsWith('-')).map((part) => part.slice(1))
  }

  /** The caller owns the secret and zeroes it. Throws HOST_FAILED with the words of systemd-creds. */
  decrypt(credential: Buffer): Promise<Buffer> {
    return run(['decrypt', ...this.#device, `--name=${CREDENTIAL_NAME}`, '-', '-'], credential)
  }
}

async function run(args: readonly string[], input?: Buffer): Promise<Buffer> {
  const { code, output, words } = await runToEnd(args, input)
  if (code === 0) return output
  const reason = words.toString('utf8').trim().split('\n').at(-1) ?? ''
  throw new BridgeError(
    'HOST_FAILED',
    `systemd-creds ${String(args[0])} failed${reason === '' ? '' : `: ${reason}`}`,
  )
}

interface Outcome {
  /** Null if a signal ended it. */
  readonly code: number | null
  readonly output: Buffer
  /** What it wrote to stderr. */
  readonly words: Buffer
}

async function runToEnd(
  args: readonly string[],
  input: Buffer = Buffer.alloc(0),
): Promise<Outcome> {
  const child = start(args)
  const [output, words, code] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    new Promise<number | null>((resolve, reject) => {
      child.once('error', (cause) => reject(explainStart(cause)))
      child.once('close', resolve)
      // A program that ends early closes its input; its exit code says why.
      child.stdin.once('error', () => undefined)
      child.stdin.end(input)
    }),
  ])
  return { code, output, words }
}

/** Under Node.js' permission model, spawn itself throws. */
function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  try {
    return spawn('systemd-creds', args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS })
  } catch (cause) {
    throw explainStart(cause)
  }
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function explainStart(cause: unknown): BridgeError {
  const message =
    systemCodeOf(cause) === 'ENOENT'
      ? 'systemd-creds is not installed; it is part of systemd 250 or newer, and of the package systemd-container or systemd-creds on some systems'
      : `systemd-creds cannot be started (${systemCodeOf(cause) ?? 'unknown error'})`
  return new BridgeError('HOST_FAILED', message, { cause })
}
