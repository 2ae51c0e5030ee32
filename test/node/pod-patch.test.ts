import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { installOnNode } from '../../src/node/install/node-install.ts'
import { parsePodPatch } from '../../src/node/install/pod-patch.ts'
import { makeNode, MANIFEST } from './node-folders.ts'
import { ACCEPTED_PATCHES, REFUSED_PATCHES } from './refused-patches.ts'

const PATCH = `
metadata: {labels: {team: a}, annotations: {note: b}}
spec:
  hostAliases: [{ip: 192.0.2.10, hostnames: [vault.example.com]}]
  priorityClassName: ""
  securityContext: {fsGroup: 0}
  volumes: [{name: extra, hostPath: {path: /extra}}]
  containers:
    - name: plugin
      env: [{name: A, value: b}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
      args: [--help]
      volumeMounts: [{name: extra, mountPath: /extra}]
      resources: {limits: {memory: 1Gi}}
      securityContext: {readOnlyRootFilesystem: false}
      livenessProbe: {periodSeconds: 60}
`

void test('a patch adds to the static pod and leaves the rest', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const plain = parse(read(MANIFEST))
  const patchSource = join(options.configSource, '../pod.yaml')
  writeFileSync(patchSource, PATCH)
  t.same((await installOnNode({ ...options, patchSource })).changed, [MANIFEST])
  const pod = parse(read(MANIFEST))
  const [before] = plain.spec.containers
  const [container] = pod.spec.containers
  t.same(pod.metadata.labels, { ...plain.metadata.labels, team: 'a' })
  t.equal(pod.metadata.annotations.note, 'b')
  t.match(pod.spec, {
    hostAliases: [{ ip: '192.0.2.10' }],
    priorityClassName: '',
    hostNetwork: true,
    securityContext: { ...plain.spec.securityContext, fsGroup: 0 },
  })
  t.same(pod.spec.volumes.slice(0, -1), plain.spec.volumes)
  t.same(container.volumeMounts.slice(0, -1), before.volumeMounts)
  t.same(container.args, [...before.args, '--help'])
  t.equal(container.name, 'kms')
  t.same(container.env.map(({ name }: { name: string }) => name).slice(0, 1), ['NODE_OPTIONS'])
  t.equal(container.env.length, 3)
  t.same(container.resources, { ...before.resources, limits: { memory: '1Gi' } })
  t.same(container.livenessProbe, { ...before.livenessProbe, periodSeconds: 60 })
  t.same(container.securityContext, { ...before.securityContext, readOnlyRootFilesystem: false })
  t.same((await installOnNode({ ...options, patchSource })).changed, [])
  t.same((await installOnNode(options)).changed, [MANIFEST], 'without it, the pod is as before')
})

const WRONG: readonly (readonly [patch: string, message: RegExp])[] = [
  ['spec: [', /it is not valid YAML/],
  ['- a', /the document must be a mapping/],
  ['kind: Pod', /^--pod-patch: kind cannot be set for the static pod/],
  ['metadata: {name: x}', /metadata.name cannot be set/],
  ['spec: {hostNetwork: false}', /spec.hostNetwork cannot be set/],
  ['spec: {serviceAccountName: x}', /spec.serviceAccountName cannot be set/],
  ['spec: {volumes: {a: b}}', /spec.volumes must be a list/],
  ['spec: {volumes: [{name: a, secret: {}}]}', /spec.volumes: secret cannot be set/],
  ['spec: {containers: [{image: x}]}', /spec.containers\[0\].image cannot be set/],
  ['spec: {containers: [{}, {}]}', /spec.containers has more than one entry/],
  [
    'spec: {containers: [{env: [{name: A, valueFrom: {secretKeyRef: {}}}]}]}',
    /env A: a static pod cannot use valueFrom.secretKeyRef; set a value/,
  ],
]

void test('a patch that a static pod cannot have is refused and changes nothing', async (t) => {
  for (const [patch, message] of WRONG)
    t.throws(() => parsePodPatch(patch), { code: 'CONFIG_INVALID', message }, patch)
  t.same(parsePodPatch(''), { metadata: {}, spec: {}, container: {} })
  const { options, writeToken } = await makeNode(t)
  await writeToken()
  const patchSource = join(options.configSource, '../none.yaml')
  await t.rejects(installOnNode({ ...options, patchSource }), {
    code: 'CONFIG_INVALID',
    message: /--pod-patch: .* cannot be read/,
  })
  t.same((await installOnNode(options)).changed.length, 4, 'nothing had been written')
})

void test('a patch with which the kubelet would stop the plugin is refused, and the manifest stays', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const plain = read(MANIFEST)
  const patchSource = join(options.configSource, '../pod.yaml')
  for (const [patch, message] of REFUSED_PATCHES) {
    writeFileSync(patchSource, patch)
    await t.rejects(
      installOnNode({ ...options, patchSource }),
      { code: 'CONFIG_INVALID', message },
      patch,
    )
  }
  t.equal(read(MANIFEST), plain)
  for (const patch of ACCEPTED_PATCHES) {
    writeFileSync(patchSource, patch)
    t.same((await installOnNode({ ...options, patchSource })).changed, [MANIFEST], patch)
  }
})
