import { obtain } from '../real/host/parts.ts'
import type { CertificateFiles } from '../real/host/pki.ts'
import { freePort } from '../real/host/port.ts'
import { Program } from '../real/program/program.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** A real etcd that serves TLS and wants client certificates, as that of kubeadm does; `host` is an address of this machine. */
export async function startTlsEtcd(
  server: CertificateFiles,
  host = '127.0.0.1',
): Promise<{ endpoint: string; stop: () => Promise<unknown> }> {
  const folder = tempFolder('tls-etcd')
  const endpoint = `https://${host}:${String(await freePort())}`
  const peer = `http://127.0.0.1:${String(await freePort())}`
  const program = Program.start({
    name: 'etcd',
    command: await obtain('etcd'),
    folder,
    args: [
      '--name=one',
      '--data-dir=data',
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=one=${peer}`,
      '--unsafe-no-fsync',
      '--client-cert-auth',
      `--trusted-ca-file=${server.caFile}`,
      `--cert-file=${server.certFile}`,
      `--key-file=${server.keyFile}`,
    ],
  })
  await program.waitForLine(/ready to serve client requests/)
  return { endpoint, stop: () => program.terminate({ graceMs: 500 }) }
}
