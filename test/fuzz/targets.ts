import { status as grpcStatus } from '@grpc/grpc-js'

import { Random } from '../verify/random/random.ts'
import { CallClient } from './call-client.ts'
import { ADMIN_INPUTS, POD_INPUTS } from './corpus/http.ts'
import type { Input } from './corpus/input.ts'
import { CALLS, KMS_INPUTS, PREFACE } from './corpus/kms.ts'
import { mutate, mutateFrames, splitPackets } from './mutate.ts'
import { sendRaw } from './raw-client.ts'
import { findTextFault, startPlugin, startPods, type Pods, type Subject } from './subjects.ts'

/** A way into a program. Its inputs are numbered: first those of the corpus, then changed ones, the same ones for a seed. */
export interface Target {
  readonly name: string
  readonly subject: Subject
  readonly corpusSize: number
  /** Sends one input; returns what is wrong with the answer. */
  readonly attack: (seed: number, index: number) => Promise<string | undefined>
  readonly close: () => void
}

/** A generator for each input, so that one can be repeated without those before it. */
function randomOf(seed: number, index: number): Random {
  return new Random(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b))
}

type Mutate = (random: Random, bytes: Buffer, others: readonly Buffer[]) => Buffer
type Judge = (answer: Buffer) => string | undefined

function rawTarget(
  name: string,
  subject: Subject,
  to: { readonly path: string } | { readonly port: number; readonly host: string },
  corpus: readonly Input[],
  change: Mutate,
  judge: Judge,
): Target {
  const others = corpus.map(({ bytes }) => bytes)
  return {
    name,
    subject,
    corpusSize: corpus.length,
    attack: async (seed, index) => {
      const random = randomOf(seed, index)
      const known = corpus[index]
      const bytes = known?.bytes ?? change(random, random.pick(others), others)
      const answer = await sendRaw(to, known === undefined ? splitPackets(random, bytes) : [bytes])
      const fault = findTextFault(answer.toString('latin1')) ?? judge(answer)
      return fault && `${fault}\ninput: ${bytes.toString('hex').slice(0, 4_000)}`
    },
    close: () => undefined,
  }
}

/** A 500 with another text is Vault's own response, for a batch that it cannot parse. */
function judgeHttp(answer: Buffer): string | undefined {
  const text = answer.toString('latin1')
  const isFault = /^HTTP\/1\.1 500 /m.test(text) && /internal error/i.test(text)
  return isFault ? `the program answers: ${text.slice(0, 600)}` : undefined
}

/** Frames of HTTP/2 on the socket of the KMS plugin. */
function kmsFrames(subject: Subject): Target {
  const change: Mutate = (random, bytes, others) => mutateFrames(random, bytes, others, PREFACE)
  const to = { path: subject.program.socket }
  return rawTarget('kms-frames', subject, to, KMS_INPUTS, change, () => undefined)
}

function adminPort(subject: Subject): Target {
  const to = { port: subject.program.adminPort, host: '127.0.0.1' }
  return rawTarget('admin', subject, to, ADMIN_INPUTS, mutate, judgeHttp)
}

function podSocket(subject: Pods): Target {
  return rawTarget('pod', subject, { path: subject.pod.path }, POD_INPUTS, mutate, judgeHttp)
}

const HEADERS: readonly (readonly [string, readonly string[]])[] = [
  ['grpc-timeout', ['0n', '1S', '99999999H', '-1S', 'x', '', '1', '100000000000S']],
  ['grpc-encoding', ['identity', 'gzip', 'deflate', 'snappy', '']],
  ['grpc-accept-encoding', ['gzip', 'identity,gzip', ',']],
  ['content-type', ['application/grpc+proto', 'application/grpc-web', 'text/plain', '']],
  ['x-bin', ['AAAA', '!!!', 'A']],
  ['user-agent', ['x'.repeat(3_000)]],
]
/** Words of grpc-js for requests that break gRPC over HTTP/2 (packages/grpc-js/src/server-interceptors.ts). */
const BROKEN = /^(?:Invalid grpc-timeout value|Failed to decompress message$)/
/** Statuses that say that the program is at fault. */
const FAULTS: ReadonlySet<number> = new Set([
  grpcStatus.UNKNOWN,
  grpcStatus.INTERNAL,
  grpcStatus.DATA_LOSS,
])

/** Calls with valid HTTP/2, so that each one has a status. */
function kmsCalls(subject: Subject): Target {
  const client = new CallClient(subject.program.socket)
  const bodies = CALLS.map(([, body]) => body)
  return {
    name: 'kms-calls',
    subject,
    corpusSize: CALLS.length,
    attack: async (seed, index) => {
      const random = randomOf(seed, index)
      const [path, body] = CALLS[index] ?? random.pick(CALLS)
      const isKnown = index < CALLS.length
      const sent = isKnown ? body : changeMessage(random, body, bodies)
      const chosen = isKnown ? [] : random.some(HEADERS, 0.1)
      const headers = Object.fromEntries(
        chosen.map(([name, values]) => [name, random.pick(values)]),
      )
      const { status, message, httpStatus } = await client.call(path, sent, headers)
      const fault =
        findTextFault(message) ??
        (status !== undefined && FAULTS.has(status) && !BROKEN.test(message)
          ? `the status is ${String(grpcStatus[status])}: ${message}`
          : undefined) ??
        (status === undefined && httpStatus === 200 ? 'the call has no status' : undefined)
      return (
        fault &&
        `${fault}\n${path} ${JSON.stringify(headers)} ${sent.toString('hex').slice(0, 4_000)}`
      )
    },
    close: () => client.close(),
  }
}

/** Changes the message, mostly with its length made right. */
function changeMessage(random: Random, body: Buffer, others: readonly Buffer[]): Buffer {
  if (body.length < 5 || random.chance(0.15)) return mutate(random, body, others)
  const content = mutate(
    random,
    body.subarray(5),
    others.map((other) => other.subarray(5)),
  )
  const head = Buffer.from(body.subarray(0, 5))
  head.writeUInt32BE(content.length, 1)
  return Buffer.concat([head, content])
}

export interface Started {
  readonly targets: readonly Target[]
  readonly subjects: readonly Subject[]
}

/** Starts the programs. */
export async function startTargets(): Promise<Started> {
  const [plugin, pods] = await Promise.all([startPlugin(), startPods()])
  return {
    targets: [kmsFrames(plugin), kmsCalls(plugin), adminPort(plugin), podSocket(pods)],
    subjects: [plugin, pods],
  }
}
