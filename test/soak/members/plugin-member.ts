import type { Plugin } from '../../real/program/plugin.ts'
import { ApiServer } from '../load/api-server.ts'
import type { HandedOut } from '../load/handed-out.ts'
import type { KeyVersions } from '../load/key-versions.ts'
import { Member, type MemberOptions } from './member.ts'

export interface PluginMemberOptions extends MemberOptions {
  readonly program: Plugin
  readonly tokenFile: string
  readonly handedOut: HandedOut
  readonly versions: KeyVersions
}

/** A plugin, with the API server beside it. */
export class PluginMember extends Member {
  readonly plugin: Plugin
  readonly tokenFile: string
  readonly apiServer: ApiServer

  constructor(options: PluginMemberOptions) {
    super(options)
    this.plugin = options.program
    this.tokenFile = options.tokenFile
    this.apiServer = new ApiServer({ ...options, client: options.program.client })
  }

  /** Whether calls succeed, and Status is that of a check after a fault: one that began during it may fail after it. */
  async works(object: number, faultEndedAt: number): Promise<boolean> {
    if (!(await this.apiServer.works(object))) return false
    const { text } = await this.program.admin('/readyz?format=json')
    const { details } = JSON.parse(text) as { details: { snapshotAgeSeconds?: number } }
    const checkedAgoMs = (details.snapshotAgeSeconds ?? Infinity) * 1000
    return checkedAgoMs < performance.now() - faultEndedAt
  }

  override async kill(): Promise<void> {
    await super.kill()
    this.apiServer.forgetUnwritten()
  }
}
