// The conformance tests of CSI (kubernetes-csi/csi-test) against the driver of run-time sockets.
import { create, toBinary } from '@bufbuild/protobuf'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'

import { GetPluginInfoResponseSchema } from '../../../src/gen/csi/v1/csi_pb.ts'
import { startRuntime } from '../../csi/runtime/fixture.ts'
import { PodVault } from '../../csi/pod-vault.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Program } from '../../real/program/program.ts'

/** They need a controller that creates volumes; a driver for inline volumes has none. */
const NEED_A_CONTROLLER = String.raw`\[Controller Server\]|should remove target path`

/**
 * A fake: a controller that can do nothing. Before each test of a node, csi-sanity asks a controller for its capabilities and
 * expects at least one, here of the type UNKNOWN. It also asks for the identity of that controller.
 */
async function startController(socket: string): Promise<Server> {
  const server = new Server()
  addAnswer(server, 'Controller/ControllerGetCapabilities', Buffer.from([0x0a, 2, 0x0a, 0]))
  addAnswer(server, 'Identity/GetPluginInfo', encodeName('controller.example.com'))
  addAnswer(server, 'Identity/GetPluginCapabilities', Buffer.alloc(0))
  addAnswer(server, 'Identity/Probe', Buffer.alloc(0))
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  return server
}

function encodeName(name: string): Buffer {
  const schema = GetPluginInfoResponseSchema
  return Buffer.from(toBinary(schema, create(schema, { name, vendorVersion: '1' })))
}

function addAnswer(server: Server, path: string, answer: Buffer): void {
  const passBytes = (bytes: Buffer) => bytes
  const method = {
    path: `/csi.v1.${path}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: passBytes,
    requestDeserialize: passBytes,
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
  }
  const reply = (_: unknown, send: (error: null, bytes: Buffer) => void) => send(null, answer)
  server.addService({ [path]: method }, { [path]: reply })
}

const vault = await PodVault.start()
after(() => vault.stop())

void test('csi-sanity passes, without the tests that need a controller', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const folder = tempFolder('sanity')
  mkdirSync(join(folder, 'work'))
  const controller = join(folder, 'controller.sock')
  const server = await startController(controller)
  t.teardown(() => server.forceShutdown())
  const sanity = Program.start({
    name: 'csi-sanity',
    command: await obtain('csi-sanity'),
    args: [
      `--csi.endpoint=unix://${join(runtime.folder, 'csi.sock')}`,
      `--csi.controllerendpoint=unix://${controller}`,
      `--csi.mountdir=${join(folder, 'work/mount')}`,
      `--csi.stagingdir=${join(folder, 'work/staging')}`,
      '--ginkgo.no-color',
      `--ginkgo.skip=${NEED_A_CONTROLLER}`,
    ],
    folder,
  })
  t.teardown(() => sanity.kill())
  const exit = await sanity.ended()
  const [, run, passed, failed] =
    /Ran (\d+) of .*\n.*?(\d+) Passed.*?(\d+) Failed/s.exec(sanity.output()) ?? []
  t.equal(exit.code, 0, sanity.tail())
  t.equal(failed, '0')
  t.equal(passed, run)
  t.ok(Number(run) >= 8, `${String(run)} tests ran`)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
