// Builds the root filesystem of the container image: Node.js, the libraries it needs, and the program. There is not even a
// shell. The Dockerfile runs this script; it also works without a Docker engine.
//
// usage: build-rootfs.ts FOLDER    FOLDER must not exist; run it as root, or the compile cache stays cold
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { copyProgram, IMAGE_ENTRYPOINT, librariesOf, pinnedNode, VERSION } from './distribution.ts'

/** The user of the image, and the user that the chart sets because host folders belong to root. */
const USERS = [65_532, 0]
const CACHE = '/app/dist/compile-cache'
const WARM = `vault: {address: "http://127.0.0.1:1", auth: {method: token, tokenFile: /tmp/none}}
transit: {key: warm}
kms: {clusterId: warm, socket: /tmp/warm.sock}
csi: {audience: warm, socket: /tmp/warm.sock}
admin: {listen: "127.0.0.1:0"}
`

function build(folder: string): void {
  if (existsSync(folder)) throw new Error(`${folder} exists; remove it or use another folder`)
  const at = (path: string) => join(folder, path)
  for (const path of ['usr/bin', 'etc', 'app', 'tmp', 'run', 'var'])
    mkdirSync(at(path), { recursive: true })
  chmodSync(at('tmp'), 0o1777)
  const node = pinnedNode()
  cpSync(node, at('usr/bin/node'))
  for (const library of librariesOf(node)) {
    mkdirSync(dirname(at(library)), { recursive: true })
    cpSync(realpathSync(library), at(library))
  }
  copyProgram(at('app'))
  writeFileSync(at('etc/passwd'), 'root:x:0:0:root:/:/none\nbridge:x:65532:65532::/:/none\n')
  writeFileSync(at('etc/group'), 'root:x:0:\nbridge:x:65532:\n')
  writeFileSync(at('etc/nsswitch.conf'), 'hosts: files dns\n')
}

/** Fills the compile cache for each user, because it cannot be written in a read-only image. */
async function warm(folder: string): Promise<void> {
  writeFileSync(join(folder, 'tmp/warm.yaml'), WARM)
  mkdirSync(join(folder, CACHE), { recursive: true })
  for (const user of USERS) {
    chownSync(join(folder, CACHE), user, user)
    for (const command of ['kms', 'csi']) await runOnce(folder, user, command)
  }
  execFileSync('chown', ['-R', '0:0', join(folder, CACHE)])
  execFileSync('chmod', ['-R', 'a+rX,go-w', join(folder, CACHE)])
  for (const name of ['warm.yaml', 'warm.sock']) rmSync(join(folder, 'tmp', name), { force: true })
}

/** Starts a server and stops it with SIGTERM: Node.js writes its compile cache on exit. */
function runOnce(folder: string, user: number, command: string): Promise<void> {
  const ids = `--userspec=${String(user)}:${String(user)}`
  const args = [ids, folder, ...IMAGE_ENTRYPOINT, command]
  const child = spawn('chroot', [...args, '--config=/tmp/warm.yaml'], {
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: CACHE },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes(' serves ')) child.kill('SIGTERM')
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0
        ? resolve()
        : reject(new Error(`${command} ended with ${String(code)} in the image`)),
    )
  })
}

const [folder, ...more] = process.argv.slice(2)
if (folder === undefined || more.length > 0) {
  process.stderr.write('usage: build-rootfs.ts FOLDER\n')
  process.exitCode = 2
} else {
  build(folder)
  if (process.getuid?.() === 0) await warm(folder)
  else process.stderr.write('not root: the compile cache stays cold, so each start takes longer\n')
  const size = execFileSync('du', ['-sm', folder], { encoding: 'utf8' }).split('\t')[0]
  process.stdout.write(`${folder}: transit-bridge ${VERSION}, ${String(size)} MiB\n`)
}
