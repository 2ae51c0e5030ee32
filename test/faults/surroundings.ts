import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { FakedClock } from '../real/faults/faked-clock.ts'
import { fullFileSystem, writeTo, type FullFileSystem } from '../real/faults/full-file-system.ts'
import { NameServer } from '../real/faults/name-server.ts'
import { StuckPipe } from '../real/faults/stuck-pipe.ts'
import { CertificateAuthority, type CertificateFiles } from '../real/host/pki.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import type { Wrap } from '../real/program/served-program.ts'
import type { Surroundings } from './fault.ts'

export const SERVER_NAME = 'vault.internal'
const DISK_KIB = 4_096

export type Certificate = 'valid' | 'expired' | 'foreign' | 'misnamed'

/** The certificates that Vault may present; the plugin trusts one authority and expects SERVER_NAME. */
export class Certificates {
  /** What Vault reads. */
  readonly files: CertificateFiles
  /** The authority that signed the certificate `foreign`. */
  readonly foreignCaFile: string
  readonly #all: Readonly<Record<Certificate, CertificateFiles>>

  static async create(): Promise<Certificates> {
    const authority = await CertificateAuthority.create('authority')
    const another = await CertificateAuthority.create('another authority')
    const names = [SERVER_NAME]
    return new Certificates(authority.caFile, {
      valid: await authority.server('valid', { names }),
      expired: await authority.server('expired', { names, expiresIn: -60 }),
      foreign: await another.server('foreign', { names }),
      misnamed: await authority.server('misnamed'),
    })
  }

  private constructor(caFile: string, all: Readonly<Record<Certificate, CertificateFiles>>) {
    const folder = tempFolder('certificate')
    this.#all = all
    this.foreignCaFile = all.foreign.caFile
    this.files = {
      certFile: join(folder, 'vault.pem'),
      keyFile: join(folder, 'vault.key'),
      caFile,
    }
    this.choose('valid')
  }

  choose(wanted: Certificate): void {
    const { certFile, keyFile } = this.#all[wanted]
    copyFileSync(certFile, this.files.certFile)
    copyFileSync(keyFile, this.files.keyFile)
  }
}

/** What a program runs in, other than its network. */
export interface Host {
  readonly wrap?: Wrap
  readonly names?: NameServer
  readonly disk?: FullFileSystem
  readonly pipe?: StuckPipe
  readonly clock?: FakedClock
  readonly stop: () => Promise<void> | void
}

const openers: Readonly<Partial<Record<Surroundings, () => Promise<Host> | Host>>> = {
  'name server': async () => {
    const names = await NameServer.start(['127.0.0.1'])
    return { names, wrap: names.wrap, stop: () => names.stop() }
  },
  'full disk': async () => {
    const disk = await fullFileSystem(DISK_KIB)
    disk.makeRoom()
    return { disk, wrap: disk.wrap, stop: disk.stop }
  },
  'stuck log': () => {
    const pipe = new StuckPipe(join(tempFolder('stuck'), 'pipe'))
    pipe.drain()
    return { pipe, wrap: writeTo(pipe.path), stop: () => pipe.stop() }
  },
  clock: () => {
    const clock = new FakedClock()
    return { clock, wrap: clock.wrap, stop: () => undefined }
  },
}

export async function openHost(kind: Surroundings): Promise<Host> {
  return (await openers[kind]?.()) ?? { stop: () => undefined }
}
