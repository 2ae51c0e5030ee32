import { setTimeout as pause } from 'node:timers/promises'
import * as v from 'valibot'

import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { KubeClient } from '../../kube/client.ts'
import { explainAnswer, isTransient } from '../../kube/fault.ts'

/** The name of the installer's container in the chart, and the argument that makes it remove the plugin. */
export const INSTALLER_CONTAINER = 'installer'
const REMOVE = '--remove'
const POLL_MS = 500

export interface RetirementOptions {
  readonly api: Pick<KubeClient, 'send' | 'server'>
  readonly namespace: string
  readonly name: string
  readonly timeoutMs: number
  readonly clock: Clock
}

const daemonSet = v.object({
  metadata: v.object({ generation: v.number() }),
  spec: v.object({
    template: v.object({
      spec: v.object({
        containers: v.array(
          v.object({ name: v.string(), args: v.optional(v.array(v.string()), []) }),
        ),
      }),
    }),
  }),
  status: v.optional(
    v.object({
      observedGeneration: v.optional(v.number(), 0),
      desiredNumberScheduled: v.optional(v.number(), 0),
      updatedNumberScheduled: v.optional(v.number(), 0),
      numberAvailable: v.optional(v.number(), 0),
    }),
    {},
  ),
})
type DaemonSet = v.InferOutput<typeof daemonSet>

/**
 * Turns a DaemonSet of installers into one of removers and waits until the plugin is removed from each of its nodes;
 * returns the number of nodes. Each remover replaces an installer, so no installer restores what was removed. An API server that
 * does not answer is asked again: it may lack the plugin that is being removed. Throws HOST_FAILED or KUBE_*.
 */
export async function retireInstallers(options: RetirementOptions): Promise<number> {
  const { clock, timeoutMs } = options
  const deadline = clock.monotonic() + timeoutMs
  for (;;) {
    const found = await takeStep(options)
    if (typeof found !== 'string' && isRetired(found) && isFinished(found))
      return found.status.desiredNumberScheduled
    if (clock.monotonic() > deadline)
      throw failed(`${place(options)}: ${typeof found === 'string' ? found : progress(found)}`)
    await pause(POLL_MS)
  }
}

/** Returns the DaemonSet, after a change if it still needs one, or why the API server cannot answer now. */
async function takeStep(options: RetirementOptions): Promise<DaemonSet | string> {
  try {
    const found = await request(options, 'GET')
    return isRetired(found) ? found : await request(options, 'PATCH', patchOf(found))
  } catch (thrown) {
    if (thrown instanceof BridgeError && isTransient(thrown)) return thrown.message
    throw thrown
  }
}

/** All nodes at the same time, because the release is being removed from all of them. */
function patchOf(found: DaemonSet): readonly object[] {
  const index = found.spec.template.spec.containers.findIndex(isInstaller)
  if (index < 0) throw failed(`the DaemonSet has no container named ${INSTALLER_CONTAINER}`)
  return [
    { op: 'add', path: `/spec/template/spec/containers/${String(index)}/args/-`, value: REMOVE },
    { op: 'add', path: '/spec/minReadySeconds', value: 0 },
    {
      op: 'add',
      path: '/spec/updateStrategy',
      value: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
    },
  ]
}

function isInstaller({ name }: { readonly name: string }): boolean {
  return name === INSTALLER_CONTAINER
}

function isRetired({ spec }: DaemonSet): boolean {
  return spec.template.spec.containers.find(isInstaller)?.args.includes(REMOVE) === true
}

function isFinished({ metadata, status }: DaemonSet): boolean {
  return (
    status.observedGeneration >= metadata.generation &&
    finishedNodes({ metadata, status }) >= status.desiredNumberScheduled
  )
}

/** A pod that is available can still be an installer, and one that is updated can still be at work. */
function finishedNodes({ metadata, status }: Pick<DaemonSet, 'metadata' | 'status'>): number {
  if (status.observedGeneration < metadata.generation) return 0
  return Math.min(status.updatedNumberScheduled, status.numberAvailable)
}

function progress(found: DaemonSet): string {
  const nodes = String(found.status.desiredNumberScheduled)
  return `the plugin is removed from at most ${String(finishedNodes(found))} of ${nodes} nodes; check the pods that are not ready, and run the removal again: it continues`
}

async function request(
  options: RetirementOptions,
  method: 'GET' | 'PATCH',
  patch?: readonly object[],
): Promise<DaemonSet> {
  const { api, namespace, name } = options
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`
  const { status, body } = await api.send({
    method,
    path,
    body: patch,
    contentType: patch === undefined ? undefined : 'application/json-patch+json',
  })
  const parsed = v.safeParse(daemonSet, body, { abortEarly: true })
  if (status === 200 && parsed.success) return parsed.output
  if (status === 404)
    throw failed(
      `${place(options)} does not exist, so nothing removes the plugin from the nodes; remove it from each node by hand (docs/operations/helm.md, "Removal"), and pass --no-hooks to helm uninstall`,
    )
  if (status !== 200) throw explainAnswer(api.server, `${method} ${path}`, status, body)
  throw failed(`${place(options)}: the API server ${api.server} returned something else`)
}

function place({ namespace, name }: RetirementOptions): string {
  return `DaemonSet ${namespace}/${name}`
}

function failed(message: string): BridgeError {
  return new BridgeError('HOST_FAILED', message)
}
