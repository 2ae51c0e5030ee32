// Builds the root filesystem of the container image: Node.js, the libraries it needs, and the program. There is not even a
// shell. The Dockerfile runs this script; it also works without a Docker engine.
//
// usage: build-rootfs.ts FOLDER    FOLDER must not exist
import { execFileSync } from 'node:child_process'
import { machine } from './release/machine.ts'
import { buildRootFilesystem } from './release/root-filesystem.ts'
import { VERSION } from './distribution.ts'

const [folder, ...more] = process.argv.slice(2)
if (folder === undefined || more.length > 0) {
  process.stderr.write('usage: build-rootfs.ts FOLDER\n')
  process.exitCode = 2
} else {
  buildRootFilesystem(folder, machine())
  const size = execFileSync('du', ['-sm', folder], { encoding: 'utf8' }).split('\t')[0]
  process.stdout.write(`${folder}: transit-bridge ${VERSION}, ${String(size)} MiB\n`)
}
