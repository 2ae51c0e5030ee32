import { join } from 'node:path'
import { credentials } from '@grpc/grpc-js'
import { obtain } from '../host/parts.ts'
import { EtcdWriter } from './etcd-writer.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** A real kine with SQLite on a unix socket, as k3s runs it without an etcd. */
export class Kine {
  /** As kube-apiserver and `verify` take it: `unix:///…`. */
  readonly address: string
  readonly #program: Program
  readonly writer: EtcdWriter

  /** `socket`: by default in a new folder. */
  static async start(options: { socket?: string } = {}): Promise<Kine> {
    const folder = tempFolder('kine')
    const { socket = join(folder, 'kine.sock') } = options
    const program = Program.start({
      name: 'kine',
      command: await obtain('kine'),
      folder,
      args: [
        `--listen-address=unix://${socket}`,
        // The options of k3s (k3s: pkg/cluster; kine: pkg/drivers/sqlite).
        `--endpoint=sqlite://${join(folder, 'state.db')}?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate`,
        '--metrics-bind-address=0',
      ],
    })
    await program.waitForLine(/Kine available at/)
    return new Kine(program, `unix://${socket}`)
  }

  private constructor(program: Program, address: string) {
    this.#program = program
    this.address = address
    this.writer = new EtcdWriter(address.replace('unix://', 'unix:'), credentials.createInsecure())
  }

  async stop(): Promise<void> {
    this.writer.close()
    await this.#program.terminate({ graceMs: 500 })
  }
}
