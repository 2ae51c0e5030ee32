import { readdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { checkEncryptionConfig } from '../encryption/check.ts'
import { decodeDocument } from '../encryption/document.ts'
import type { EncryptionFault } from '../encryption/fault.ts'
import { readEncryptionText } from '../encryption/text.ts'
import { formatFault } from '../yaml/fault.ts'
import { isTrue } from './api-server-flags.ts'
import { readManifest, type ApiServerManifest } from './api-server-manifest.ts'
import { fail, ok, unknown, warn, type Finding } from './finding.ts'
import { formatMode, readHostFile } from './host-file.ts'
import { checkPathRights } from './path-rights.ts'

export interface ApiServerCheck {
  /** kms.socket of the plugin. */
  readonly socket: string
  /** The static pod of kube-apiserver. */
  readonly manifest: string
  /** Instead of the one that the manifest names. */
  readonly encryptionConfig: string | undefined
}

const FLAG = 'encryption-provider-config'

/** kube-apiserver's flags and its EncryptionConfiguration. */
export async function checkApiServer(check: ApiServerCheck): Promise<readonly Finding[]> {
  const file = await readHostFile(check.manifest)
  if ('problem' in file) return checkWithoutManifest(check, `${check.manifest} ${file.problem}`)
  const manifest = readManifest(file.text)
  if (manifest === undefined)
    return checkWithoutManifest(check, `${check.manifest} is not a static pod of kube-apiserver`)
  const inside = manifest.flags.get(FLAG)
  if (inside === undefined) {
    const fix = `add --${FLAG}=FILE; transit-bridge config encryption prints the file`
    return [fail('api server', `${check.manifest} has no --${FLAG}: nothing is encrypted`, fix)]
  }
  return [
    ok('api server', `reads ${inside}`),
    checkReload(manifest),
    checkSocketMount(manifest, check),
    ...checkFileMount(manifest, inside),
    ...(await checkOtherManifests(check.manifest)),
    ...(await checkPathRights('api server', check.manifest)),
    ...(await checkNamedFile(manifest, inside, check)),
  ]
}

async function checkWithoutManifest(
  { encryptionConfig, socket }: ApiServerCheck,
  why: string,
): Promise<readonly Finding[]> {
  const fix = 'pass it with --manifest, or the EncryptionConfiguration with --encryption-config'
  if (encryptionConfig === undefined) return [unknown('api server', why, fix)]
  return [unknown('api server', why), ...(await checkFile(encryptionConfig, socket))]
}

/** The kubelet runs every file of the folder but hidden ones (kubernetes: pkg/kubelet/config/file.go), so also a backup. */
async function checkOtherManifests(path: string): Promise<readonly Finding[]> {
  const folder = dirname(path)
  const names = await readdir(folder).catch(() => undefined)
  if (names === undefined)
    return [unknown('api server', `${folder} cannot be listed`, 'run doctor as root')]
  const found: Finding[] = []
  for (const name of names.filter((one) => !one.startsWith('.') && one !== basename(path))) {
    const other = join(folder, name)
    const file = await readHostFile(other)
    if (!('text' in file) || readManifest(file.text) === undefined) continue
    const why = `${other} is a static pod of kube-apiserver, too, and the kubelet may run it instead of ${path}`
    found.push(fail('api server', why, 'move it out of the folder'))
  }
  return found
}

/** Without it each step of a move, and each new provider, needs a restart of every API server. */
function checkReload({ flags }: ApiServerManifest): Finding {
  const flag = `${FLAG}-automatic-reload`
  if (isTrue(flags.get(flag))) return ok('api server reload', `--${flag}`)
  return warn('api server reload', 'reads a changed file only at a restart', `add --${flag}=true`)
}

/** A bind mount of a file stays with the old file when another one is renamed over it. */
function checkFileMount({ isMountPoint }: ApiServerManifest, inside: string): readonly Finding[] {
  if (!isMountPoint(inside)) return []
  const why = `${inside} is mounted as a single file, so its pod does not see a replaced file, and automatic reload does nothing`
  return [fail('api server mount', why, `mount the folder ${dirname(inside)} instead`)]
}

function checkSocketMount({ hostPathOf }: ApiServerManifest, check: ApiServerCheck): Finding {
  const host = hostPathOf(check.socket)
  if (host === check.socket) return ok('api server mount', `sees ${dirname(check.socket)}`)
  const why =
    host === undefined
      ? `its pod does not see ${dirname(check.socket)}`
      : `its pod has ${dirname(host)} at ${dirname(check.socket)}`
  return fail(
    'api server mount',
    why,
    `add a hostPath volume of ${dirname(check.socket)} to ${check.manifest}, mounted at the same path`,
  )
}

async function checkNamedFile(
  { hostPathOf, runAsUser }: ApiServerManifest,
  inside: string,
  { encryptionConfig, manifest, socket }: ApiServerCheck,
): Promise<readonly Finding[]> {
  const mounted = hostPathOf(inside)
  const path = encryptionConfig ?? mounted
  const owners = runAsUser === undefined ? [] : [runAsUser]
  if (path !== undefined)
    return [
      ...(mounted === undefined ? [] : await checkLinks(mounted, inside, hostPathOf)),
      ...(await checkFile(path, socket, owners)),
    ]
  return [
    fail(
      'encryption',
      `its pod does not see ${inside}`,
      `add a hostPath volume for it to ${manifest}`,
    ),
  ]
}

/** The pod follows symbolic links in its own file system, where it may find nothing, or another file. */
async function checkLinks(
  path: string,
  inside: string,
  hostPathOf: ApiServerManifest['hostPathOf'],
): Promise<readonly Finding[]> {
  const real = await realpath(path).catch(() => path)
  if (real === path || (path === inside && hostPathOf(real) === real)) return []
  const why = `${path} leads to ${real} through a symbolic link, and its pod may not find that file there`
  return [fail('encryption', why, `put the file itself into ${dirname(path)}`)]
}

async function checkFile(
  path: string,
  socket: string,
  owners: readonly number[] = [],
): Promise<readonly Finding[]> {
  const file = await readHostFile(path)
  if ('problem' in file) {
    const text = `${path} ${file.problem}`
    return [
      file.missing ? fail('encryption', text) : unknown('encryption', text, 'run doctor as root'),
    ]
  }
  const faults = checkEncryptionConfig(file.text, { socket })
  const isReadable = (file.mode & 0o007) !== 0 || ((file.mode & 0o070) !== 0 && file.gid !== 0)
  const open = isReadable && holdsKeys(file.text)
  const rights = await checkPathRights('encryption', path, owners)
  return [
    ...faults.map((fault) => toFinding(path, fault)),
    ...rights,
    ...(open
      ? [
          fail(
            'encryption',
            `${path} holds keys and has mode ${formatMode(file.mode)}${file.gid === 0 ? '' : ` for group id ${String(file.gid)}`}`,
            `chmod 0600 ${path}`,
          ),
        ]
      : []),
    ...(faults.every(({ severity }) => severity === 'note') && !open && rights.length === 0
      ? [ok('encryption', `${path} is valid and contains the plugin`)]
      : []),
  ]
}

/** Whether a provider has keys in the file itself; a file that cannot be parsed is searched for the word "secret". */
function holdsKeys(text: string): boolean {
  const source = readEncryptionText(text)
  if (!('value' in source)) return /secret/.test(text)
  const { rules } = decodeDocument(source.value).document
  return rules.some(({ providers }) => providers.some(({ keys }) => keys.length > 0))
}

function toFinding(path: string, { severity, hint, ...fault }: EncryptionFault): Finding {
  const make = severity === 'note' ? warn : fail
  return make('encryption', formatFault(path, fault), hint)
}
