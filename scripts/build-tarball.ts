// Builds the tarball for hosts that run the plugin under systemd: the program with its Node.js, the unit, the
// policies and instructions. k3s and RKE2 need it, because they read Secrets before their kubelet starts any pod.
//
// usage: build-tarball.ts FOLDER    writes FOLDER/transit-bridge-VERSION-linux-ARCH.tar.gz
import { machine } from './release/machine.ts'
import { buildTarball } from './release/tarball.ts'

const [target, ...more] = process.argv.slice(2)
if (target === undefined || more.length > 0) {
  process.stderr.write('usage: build-tarball.ts FOLDER\n')
  process.exitCode = 2
} else {
  process.stdout.write(`${await buildTarball(target, machine())}\n`)
}
