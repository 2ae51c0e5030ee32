/**
 * docs/operations/csi-first-file.md and csi-changes.md, block by block as they are written there, on a real node: the kubelet,
 * the real Secrets Store CSI driver, OpenBao, helm, kubectl, bao and the provider of the chart. Only section 2 of the
 * first document, which installs the driver from a registry, is not run: the driver runs beside the kubelet, with what those
 * values mean. The image of the node has no shell, so containers run Node.js instead of busybox.
 */
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { buildProgram, ROOT } from '../../commands/program.ts'
import { DocumentText, OperatorShell } from '../../csi/document.ts'
import { KubeNode, whyNoNode } from '../../real/cluster/kube-node.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { obtain } from '../../real/host/parts.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { ADDRESS, forwardVault, startDriver } from './csi-node.ts'

const FIRST = new DocumentText('operations/csi-first-file.md')
const CHANGES = new DocumentText('operations/csi-changes.md')
const SHOP = '/api/v1/namespaces/shop'

type Container = Record<string, unknown> & { volumeMounts: unknown[] }
type Pod = { spec: { restartPolicy: string; containers: Container[] } } & Record<string, unknown>

/** An administrator with a terminal in the cluster's network. */
class Administrator {
  readonly shell: OperatorShell
  readonly #node: KubeNode
  #count = 0

  static async open(node: KubeNode, bao: OpenBao, caFile: string): Promise<Administrator> {
    const shell = await OperatorShell.open(bao, {
      BAO_CACERT: caFile,
      BAO_TLS_SERVER_NAME: ADDRESS,
      PROGRAMS: join(ROOT, 'bin'),
    })
    for (const name of ['kubectl', 'helm'] as const)
      symlinkSync(await obtain(name), join(shell.folder, name))
    symlinkSync(join(ROOT, 'helm'), join(shell.folder, 'charts'))
    return new Administrator(node, shell)
  }

  private constructor(node: KubeNode, shell: OperatorShell) {
    this.#node = node
    this.shell = shell
  }

  /** Runs commands that need the cluster. Returns what they print. */
  async run(script: string): Promise<string> {
    const { folder } = this.shell
    const name = `commands-${String((this.#count += 1))}`
    const prepared = `cd ${folder}; PATH=${folder}:$PATH; ${script}`
    const program = this.#node.run(name, 'bash', ['--norc', '-euo', 'pipefail', '-c', prepared])
    await program.finished()
    return program.output()
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.shell.folder, file), text)
  }
}

/** A pod of the document, with a program in place of busybox. */
function podFrom(text: string, script: string, change: Partial<Container> = {}): Pod {
  const pod = parse(text) as Pod
  const [container] = pod.spec.containers
  Object.assign(container ?? {}, {
    image: `${IMAGE.repository}:${IMAGE.tag}`,
    imagePullPolicy: 'Never',
    command: ['/usr/bin/node', '-e', script],
    ...change,
  })
  return pod
}

async function installAll(t: Test, node: KubeNode): Promise<Administrator> {
  const authority = await CertificateAuthority.create()
  const tls = await authority.server('vault', { names: [ADDRESS] })
  const bao = await OpenBao.start({ tls })
  t.teardown(() => bao.stop())
  await forwardVault(t, node, bao.port)
  const administrator = await Administrator.open(node, bao, tls.caFile)
  const { shell } = administrator
  administrator.write('sa.pub', node.signer.publicKeyPem)
  const vaultCommands = FIRST.block('commands: vault')
    .replace('/etc/kubernetes/pki/sa.pub', 'sa.pub')
    .replace(/bound_issuer=\S+/, `bound_issuer=${node.signer.issuer}`)
  shell.run(vaultCommands)
  shell.run(FIRST.block('commands: role'))

  await startDriver(node, ['--enable-secret-rotation=true', '--rotation-poll-interval=1s'])

  const values = parse(FIRST.block('example: values')) as { vault: object }
  const vault = { ...values.vault, address: `https://${ADDRESS}:8200`, caBundle: authority.caPem }
  const image = { ...IMAGE, pullPolicy: 'Never' }
  administrator.write('values.yaml', stringify({ ...values, vault, image }))
  await administrator.run(
    FIRST.block('commands: provider').replace(' helm/transit-bridge ', ' charts/transit-bridge '),
  )
  return administrator
}

void test(
  'the documents about the CSI provider work as they are written',
  { skip: whyNoNode() },
  async (t) => {
    buildProgram()
    const node = await KubeNode.start(await buildImageArchive())
    t.teardown(() => node.stop())
    const administrator = await installAll(t, node)
    const { shell } = administrator
    const writeClass = (password: string) =>
      shell.run(
        `PATH=$PROGRAMS:$PATH; ${FIRST.block('commands: class').replace('hunter2', password)}`,
      )
    const podText = FIRST.block('example: pod')

    await t.test('from nothing to a file in a pod', async (t) => {
      t.match(writeClass('hunter2'), /class\.yaml: ok; csi\.rules .*\n {2}web: role web, 1 object/)
      const read = `process.stdout.write(require('node:fs').readFileSync('/keys/password'))`
      administrator.write('pod.yaml', stringify(podFrom(podText, read)))
      const output = await administrator.run(FIRST.block('commands: pod'))
      t.match(output, /hunter2$/)
      await administrator.run('kubectl --namespace shop delete pod web')
    })

    await t.test('a change reaches the volume, and never a subPath', async (t) => {
      const { volumeMounts } = parse(CHANGES.block('example: subPath')) as Container
      const files = ['/keys/password', '/etc/app/password']
      const watch = `
      const fs = require('node:fs'); let seen = ''
      setInterval(() => {
        const now = ${JSON.stringify(files)}.map((file) => fs.readFileSync(file, 'utf8')).join(' ')
        if (now !== seen) console.log((seen = now))
      }, 100)`
      administrator.write('pod.yaml', stringify(podFrom(podText, watch, { volumeMounts })))
      await administrator.run('kubectl apply --filename pod.yaml')
      await administrator.run(
        'kubectl --namespace shop wait pod/web --for=condition=Ready --timeout=60s',
      )
      const { metadata } = await node.api('GET', `${SHOP}/pods/web`)
      const volume = `/var/lib/kubelet/pods/${String(metadata.uid)}/volumes/kubernetes.io~csi/keys/mount`
      const loop = CHANGES.block('commands: reload').replaceAll('/keys', volume)
      const reload = node.run('reload', 'sh', ['-c', loop])
      await reload.waitUntil('the first value', () => reload.output().includes('password: hunter2'))

      writeClass('hunter3')
      await administrator.run('kubectl apply --filename class.yaml')
      const begun = performance.now()
      await administrator.run(CHANGES.block('commands: refresh'))
      await reload.waitUntil(
        'the second value',
        () => reload.output().includes('password: hunter3'),
        { timeoutMs: 180_000 },
      )
      t.comment(
        `the change arrived ${String(Math.round(performance.now() - begun))} ms after the refresh`,
      )
      await node.waitUntil('the pod to see it', async () =>
        (await administrator.run('kubectl --namespace shop logs web')).includes('hunter3'),
      )
      const logs = await administrator.run('kubectl --namespace shop logs web')
      t.strictSame(logs.trim().split('\n'), ['hunter2 hunter2', 'hunter3 hunter2'])
      await reload.terminate({ graceMs: 1_000 })
    })

    await t.test('a Secret exists while a pod mounts the volume, and follows it', async (t) => {
      const encrypt = (value: string) =>
        shell
          .run(
            `printf %s ${value} | base64 -w0 | bao write -field=ciphertext transit/encrypt/app-data plaintext=-`,
          )
          .trim()
      const text = CHANGES.block('example: secretObjects')
      const apply = (value: string) => {
        administrator.write('web-db.yaml', text.replace('vault:v1:REPLACE', encrypt(value)))
        return administrator.run('kubectl apply --filename web-db.yaml')
      }
      const secret = CHANGES.block('commands: secret')
      await apply('one')
      const pod = podFrom(
        podText.replaceAll('name: web\n', 'name: db\n').replace('Class: web', 'Class: web-db'),
        'setInterval(() => {}, 1e6)',
      )
      administrator.write('pod.yaml', stringify(pod))
      await administrator.run('kubectl apply --filename pod.yaml')
      const exists = async () =>
        (await node.request('GET', `${SHOP}/secrets/web-db`)).status === 200
      await node.waitUntil('the Secret', exists)
      t.equal(await administrator.run(secret), 'one')
      t.match((await node.api('GET', `${SHOP}/secrets/web-db`)).metadata.labels, { app: 'web' })
      await apply('two')
      await administrator.run(CHANGES.block('commands: refresh').replace('pod web', 'pod db'))
      await node.waitUntil(
        'the Secret to follow',
        async () => (await administrator.run(secret)) === 'two',
        { timeoutMs: 180_000 },
      )
      // The driver sets the owner up to 5 s after each change (secretproviderclasspodstatus_controller.go, RunPatcher).
      await node.waitUntil('the owner of the Secret', async () => {
        const { metadata } = await node.api('GET', `${SHOP}/secrets/web-db`)
        return (metadata.ownerReferences ?? []).length > 0
      })
      await administrator.run('kubectl --namespace shop delete pod db --now')
      await node.waitUntil('the Secret to go', async () => !(await exists()))
      t.pass('the Secret is gone with the pod')
    })
  },
)
