import { setTimeout as pause } from 'node:timers/promises'
import * as v from 'valibot'

import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { KubeClient } from '../../kube/client.ts'

/** The name of the installer's container in the chart, and the argument that makes it remove the plugin. */
export const INSTALLER_CONTAINER = 'installer'
const REMOVE = '--remove'
const POLL_MS = 500

export interface RetirementOptions {
  readonly api: Pick<KubeClient, 'send'>
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
 * returns the number of nodes. Each remover replaces an installer, so no installer restores what was removed. Throws
 * HOST_FAILED.
 */
export async function retireInstallers(options: RetirementOptions): Promise<number> {
  const { clock, timeoutMs } = options
  const deadline = clock.monotonic() + timeoutMs
  let found = await request(options, 'GET')
  if (!isRetired(found)) found = await request(options, 'PATCH', patchOf(found))
  while (!isFinished(found)) {
    if (clock.monotonic() > deadline) throw failed(`${place(options)}: ${progress(found)}`)
    await pause(POLL_MS)
    found = await request(options, 'GET')
  }
  return found.status.desiredNumberScheduled
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
  const { desiredNumberScheduled: desired } = status
  return (
    status.observedGeneration >= metadata.generation &&
    status.updatedNumberScheduled >= desired &&
    status.numberAvailable >= desired
  )
}

function progress({ status }: DaemonSet): string {
  return `the plugin is removed from ${String(status.numberAvailable)} of ${String(status.desiredNumberScheduled)} nodes; check the pods that are not ready`
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
  throw failed(`${place(options)}: ${method} returned HTTP ${String(status)}`)
}

function place({ namespace, name }: RetirementOptions): string {
  return `DaemonSet ${namespace}/${name}`
}

function failed(message: string): BridgeError {
  return new BridgeError('HOST_FAILED', message)
}
