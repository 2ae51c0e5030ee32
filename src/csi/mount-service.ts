import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError, isOutage } from '../errors.ts'
import type { UnreadResponses } from '../grpc/unread-responses.ts'
import type { CsiMetrics } from '../telemetry/metrics/roles.ts'
import type { AccessRules } from './identity/access-rules.ts'
import { fingerprint, requireUsableContent, zeroFiles, type ContentFile } from './volume/content.ts'
import {
  findVolumeOwner,
  ORIGIN,
  readMountRequest,
  type MountRequest,
  type VolumeOwner,
} from './mount-request.ts'
import { findLargeRequest } from './large-request.ts'
import { isAbsence, joinFaults, type ObjectFault } from './class/object-fault.ts'
import { isComposite, type ClassObject } from './class/object-types.ts'
import { requirePodToken } from './identity/pod-token.ts'
import { ClassCache } from './class/class-cache.ts'
import { readRole } from './class/secret-provider-class.ts'
import type { SessionCache } from './identity/session-cache.ts'
import { TextBudget } from './text-budget.ts'
import type { ServedContent, SharedMounts } from './shared-mounts.ts'
import type { EnginePlace } from './engine-place.ts'
import { VolumeEngines } from './identity/volume-engines.ts'
import type { Gathered, Volume, VolumeContent } from './volume/volume-content.ts'
import { compose } from './volume/composite.ts'
import type { VolumeLedger } from './volume/volume-ledger.ts'

/** Time limit of a Mount. The kubelet waits for 2 minutes; a Mount must not exceed that (docs/design.md, "CSI errors"). */
const MOUNT_TIMEOUT_MS = 20_000

export interface MountServiceOptions {
  /** Expected audience of the pods' tokens (csi.audience). */
  readonly audience: string
  /** The engine of classes that name none. */
  readonly home: EnginePlace
  readonly rules: AccessRules
  readonly sessions: SessionCache
  readonly content: VolumeContent
  readonly shared: SharedMounts
  readonly ledger: VolumeLedger
  readonly responses: Pick<UnreadResponses, 'turn'>
  readonly clock: Clock
  readonly metrics: Pick<CsiMetrics, 'csiObjects' | 'csiContentHits'>
}

/** A Mount request: two JSON texts and the path of the volume. */
export interface MountInput {
  readonly attributes: string
  readonly secrets: string
  readonly targetPath: string
}

/**
 * Serves Mounts, in plain types. What can be refused without Vault is refused before the first request to Vault:
 * a malformed request, another pod's token, an invalid class, objects that no rule allows.
 */
export class MountService {
  readonly #options: MountServiceOptions
  readonly #classes: ClassCache
  readonly #budget = new TextBudget()

  constructor(options: MountServiceOptions) {
    this.#options = options
    this.#classes = new ClassCache(options.clock)
  }

  /** Returns all files of a volume, at least one. The caller owns the files and zeroes them. */
  async mount(input: MountInput, context: CallContext): Promise<ContentFile[]> {
    const { attributes, secrets, targetPath } = input
    let request: MountRequest | undefined
    try {
      request = readMountRequest(attributes, secrets)
      const { pod } = request
      const { files, confirmedAt } = await this.#serveWithin(request, input, context)
      this.#options.ledger.served(identifyVolume(request, targetPath), pod, confirmedAt)
      return files
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      const owner = request ?? findVolumeOwner(attributes)
      if (error.code !== 'CANCELLED' && owner !== undefined)
        this.#options.ledger.failed(identifyVolume(owner, targetPath), owner.pod, error)
      throw error
    }
  }

  /** Counts a Mount that succeeded, but whose files the driver does not receive, as failed. */
  countUnsent({ attributes, targetPath }: MountInput, error: BridgeError): void {
    const owner = findVolumeOwner(attributes)
    if (owner !== undefined)
      this.#options.ledger.failed(identifyVolume(owner, targetPath), owner.pod, error)
  }

  /** Returns the error of a Mount that is too large to be decoded, which counts for its volume, too. */
  refuseLarge(message: Uint8Array): BridgeError {
    const error = new BridgeError(
      'REQUEST_INVALID',
      `the request (${ORIGIN.attributes}, and ${ORIGIN.secrets}) is longer than 4 MiB; a SecretProviderClass has at most 256 KiB: split it`,
    )
    const found = findLargeRequest(message)
    if (found !== undefined) {
      const { owner, targetPath } = found
      this.#options.ledger.failed(identifyVolume(owner, targetPath), owner.pod, error)
    }
    return error
  }

  #serveWithin(request: MountRequest, { attributes, secrets }: MountInput, context: CallContext) {
    const bytes = attributes.length + secrets.length
    return this.#budget.run(request.pod.namespace, bytes, () => this.#serve(request, context))
  }

  async #serve(request: MountRequest, context: CallContext) {
    const { audience, rules, sessions, shared, home } = this.#options
    const { pod } = request
    // Parsing a class is the only expensive step before Vault, so it comes after the check for a matching rule.
    const token = requirePodToken(request, audience)
    rules.requireSubject(pod, readRole(request.parameters))
    const wanted = await this.#classes.parse(request.parameters, pod.namespace)
    await rules.require(pod, wanted)
    const { role, objects, digest } = wanted
    const open = (vaultNamespace: string) => sessions.open(token, role, vaultNamespace)
    const keyed = objects.filter((object) => !isComposite(object))
    const engines = new VolumeEngines(keyed, home, open)
    const id = fingerprint([pod.uid, digest, ...engines.sessionIds])
    const collect = () =>
      this.#collect({ id, owner: pod.namespace, objects, engines }, role, pod.uid)
    return shared.run(id, () => engines.use(collect), context)
  }

  async #collect(volume: Volume, role: string, uid: string): Promise<ServedContent> {
    const { content, metrics, clock, responses } = this.#options
    const context = { deadline: clock.monotonic() + MOUNT_TIMEOUT_MS, uid }
    try {
      const gathered = await content.gather(volume, context)
      await responses.turn()
      const files = this.#arrange(volume, gathered, role)
      if (gathered.isCached) metrics.csiContentHits.inc()
      return { files, confirmedAt: gathered.confirmedAt }
    } catch (thrown) {
      const error = asMountError(thrown)
      if (!isOutage(error)) content.forget(volume)
      for (const { type } of volume.objects) metrics.csiObjects.inc({ type, outcome: error.code })
      throw error
    }
  }

  /** Returns the files in the order of the class. Throws an error that names every failed object. */
  #arrange(volume: Volume, gathered: Gathered, role: string): ContentFile[] {
    const { home } = this.#options
    const contents = new Map(gathered.contents)
    try {
      for (const [index, made] of compose(volume.objects, contents)) contents.set(index, made)
      const faults = findFaults(volume.objects, contents)
      if (faults.length > 0) throw joinFaults(faults, { role, home })
      const files = filesOf(volume.objects, contents, true)
      requireUsableContent(files)
      this.#count(volume.objects, contents, gathered.isCached)
      zeroFiles(filesOf(volume.objects, contents, false))
      return files
    } catch (thrown) {
      for (const isMounted of [true, false]) zeroFiles(filesOf(volume.objects, contents, isMounted))
      throw thrown
    }
  }

  #count(objects: readonly ClassObject[], contents: Contents, isCached: boolean): void {
    for (const { index, type } of objects) {
      const outcome =
        contents.get(index) instanceof BridgeError ? 'absent' : isCached ? 'cache' : 'vault'
      this.#options.metrics.csiObjects.inc({ type, outcome })
    }
  }
}

type Contents = Gathered['contents']

/** The files of the objects that are mounted, or of those that are not, in the order of the class. */
function filesOf(
  objects: readonly ClassObject[],
  contents: Contents,
  isMounted: boolean,
): ContentFile[] {
  return objects
    .filter((object) => object.isMounted === isMounted)
    .flatMap(({ index }) => {
      const content = contents.get(index)
      return content === undefined || content instanceof BridgeError ? [] : content
    })
}

/** Groups failed objects by their error. A missing optional object is not a failure. */
function findFaults(objects: readonly ClassObject[], contents: Contents): ObjectFault[] {
  const byError = new Map<BridgeError, ClassObject[]>()
  for (const object of objects) {
    const content = contents.get(object.index)
    if (!(content instanceof BridgeError)) continue
    if (object.optional && isAbsence(content)) continue
    byError.set(content, [...(byError.get(content) ?? []), object])
  }
  return [...byError].map(([error, failed]) => ({ objects: failed, error }))
}

/** The deadline is {@link MOUNT_TIMEOUT_MS}, not the caller's; if it passes, Vault did not answer. */
function asMountError(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code !== 'DEADLINE_EXCEEDED') return error
  const message = `Vault did not return the content of the volume within ${String(MOUNT_TIMEOUT_MS / 1000)} s`
  return new BridgeError('VAULT_TIMEOUT', message, { cause: error })
}

/**
 * Identifies a volume independently of the class content: after an edit of the class it is still the same volume.
 * The namespace, service account and class name distinguish the volumes of the sync controller, which all have the
 * controller's pod uid and one path.
 */
function identifyVolume({ pod, className }: VolumeOwner, targetPath: string): string {
  return fingerprint([pod.namespace, pod.serviceAccount, pod.uid, className, targetPath])
}
