import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from '../host/cache.ts'
import { Program } from '../program/program.ts'

/** etcd and etcdctl from the packages of this Debian or Ubuntu, which are unpacked and not installed. */
export async function debianEtcd(): Promise<{ etcd: string; etcdctl: string }> {
  const folder = await cached(`etcd-of-debian-${process.arch}`, async (unfinished) => {
    await run(unfinished, 'apt-get', ['download', 'etcd-server', 'etcd-client'])
    for (const file of readdirSync(unfinished).filter((each) => each.endsWith('.deb')))
      await run(unfinished, 'dpkg', ['-x', file, '.'])
  })
  return { etcd: join(folder, 'usr/bin/etcd'), etcdctl: join(folder, 'usr/bin/etcdctl') }
}

function run(folder: string, command: string, args: string[]): Promise<void> {
  return Program.start({ name: command, command, args, folder, env: { ...process.env } }).finished()
}
