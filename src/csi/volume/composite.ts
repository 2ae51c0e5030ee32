import { isUtf8 } from 'node:buffer'
import { BridgeError } from '../../errors.ts'
import { encodeBase64 } from '../../text/base64-bytes.ts'
import { encodeHex } from '../../text/hex-bytes.ts'
import { encodeJsonText } from '../../text/json-bytes.ts'
import { isAbsence } from '../class/object-fault.ts'
import {
  isComposite,
  nameObject,
  type BundleObject,
  type ClassObject,
  type CompositeObject,
  type TemplateEncoding,
  type TemplateObject,
} from '../class/object-types.ts'
import { partNames } from '../class/references.ts'
import { fingerprint, requireSize, type ContentFile } from './content.ts'
import type { ObjectContent } from './secret-content.ts'

type Contents = ReadonlyMap<number, ObjectContent>

interface Part {
  readonly object: ClassObject
  readonly files: readonly ContentFile[]
}
type Parts = ReadonlyMap<string, Part>

/** A bundle or template before its file is made: the bytes that follow each other. */
interface Plan {
  readonly composite: CompositeObject
  readonly pieces: readonly Buffer[]
  readonly version: string
}

/**
 * Makes the files of bundles and templates from the contents of other objects. Throws CONTENT_TOO_LARGE before it makes
 * any of them: a small class can repeat a large value many times.
 */
export function compose(objects: readonly ClassObject[], contents: Contents): Contents {
  const composites = objects.filter(isComposite)
  if (composites.length === 0) return new Map()
  const forms = new PartForms()
  try {
    const plans = composites.map(
      (composite) => [composite.index, planOrError(composite, objects, contents, forms)] as const,
    )
    requireSize(mountedSize(objects, contents) + plannedSize(plans.map(([, plan]) => plan)))
    return new Map(
      plans.map(([index, plan]) => [index, plan instanceof BridgeError ? plan : makeFiles(plan)]),
    )
  } finally {
    forms.zero()
  }
}

function planOrError(
  composite: CompositeObject,
  objects: readonly ClassObject[],
  contents: Contents,
  forms: PartForms,
): Plan | BridgeError {
  try {
    const parts = findParts(composite, objects, contents)
    const pieces =
      composite.type === 'bundle'
        ? bundle(composite, parts, forms)
        : fillIn(composite, parts, forms)
    return { composite, pieces, version: versionOf(composite, parts) }
  } catch (thrown) {
    return BridgeError.from(thrown)
  }
}

function findParts(
  composite: CompositeObject,
  objects: readonly ClassObject[],
  contents: Contents,
): Parts {
  const byName = new Map(objects.map((object) => [object.name, object]))
  return new Map(
    partNames(composite).map((name) => {
      const object = byName.get(name)
      const files = object === undefined ? undefined : contents.get(object.index)
      if (object === undefined || files === undefined)
        throw new BridgeError('INTERNAL', 'internal error')
      if (files instanceof BridgeError) throw explainMissing(object, files)
      return [name, { object, files }]
    }),
  )
}

/** A part that fails is reported once, with all objects that it affects. */
function explainMissing(object: ClassObject, error: BridgeError): BridgeError {
  if (!object.optional || !isAbsence(error)) return error
  return new BridgeError('OBJECT_MISSING', `needs ${nameObject(object)}, which does not exist`, {
    cause: error,
  })
}

const LINE_END = Buffer.from('\n')

/** Each part starts on a new line. */
function bundle({ of }: BundleObject, parts: Parts, forms: PartForms): readonly Buffer[] {
  return of.flatMap((name) => {
    const { object, files } = requirePart(name, parts)
    return files.flatMap(({ contents }) => {
      requireText(object, forms.isText(contents), 'use encoding: base64 in that object')
      const endsLine = contents.byteLength === 0 || contents.at(-1) === LINE_END[0]
      return endsLine ? [contents] : [contents, LINE_END]
    })
  })
}

function fillIn(
  { parts: template }: TemplateObject,
  parts: Parts,
  forms: PartForms,
): readonly Buffer[] {
  return template.map((part) => {
    if (typeof part === 'string') return Buffer.from(part)
    const { object, files } = requirePart(part.name, parts)
    const [file] = files
    if (file === undefined) throw new BridgeError('INTERNAL', 'internal error')
    const { contents } = file
    const { encoding } = part
    if (encoding === 'text' || encoding === 'json')
      requireText(object, forms.isText(contents), `write {{ ${part.name} | base64 }}`)
    return encoding === 'text' ? contents : forms.encode(contents, encoding)
  })
}

function requireText(object: ClassObject, isText: boolean, hint: string): void {
  if (isText) return
  throw new BridgeError('OBJECT_UNSUITABLE', `${nameObject(object)} is not UTF-8 text; ${hint}`)
}

function requirePart(name: string, parts: Parts): Part {
  const part = parts.get(name)
  if (part === undefined) throw new BridgeError('INTERNAL', 'internal error')
  return part
}

/** From the versions of the parts, which reveal nothing of their content, and the text of the class. */
function versionOf(composite: CompositeObject, parts: Parts): string {
  const form = composite.type === 'bundle' ? composite.of.join(' ') : composite.text
  const versions = [...parts].flatMap(([name, { files }]) => [
    name,
    ...files.map(({ version }) => version),
  ])
  return fingerprint([composite.type, form, ...versions])
}

function makeFiles({ composite, pieces, version }: Plan): readonly ContentFile[] {
  const { path, mode } = composite
  return [{ path, mode, contents: Buffer.concat(pieces), version }]
}

function mountedSize(objects: readonly ClassObject[], contents: Contents): number {
  const mounted = objects.filter(({ isMounted }) => isMounted)
  return mounted.reduce((sum, { index }) => {
    const files = contents.get(index)
    return files === undefined || files instanceof BridgeError
      ? sum
      : sum + sizeOf(files.map((file) => file.contents))
  }, 0)
}

function plannedSize(plans: readonly (Plan | BridgeError)[]): number {
  return plans.reduce(
    (sum, plan) => (plan instanceof BridgeError ? sum : sum + sizeOf(plan.pieces)),
    0,
  )
}

function sizeOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/**
 * What a part is, and its encoded copies. Each is found once, because a class can use a part thousands of times. All copies
 * are zeroed together.
 */
class PartForms {
  readonly #texts = new Map<Buffer, boolean>()
  readonly #copies = new Map<Buffer, Map<TemplateEncoding, Buffer>>()

  isText(contents: Buffer): boolean {
    const isText = this.#texts.get(contents) ?? isUtf8(contents)
    this.#texts.set(contents, isText)
    return isText
  }

  encode(contents: Buffer, encoding: Exclude<TemplateEncoding, 'text'>): Buffer {
    const known = this.#copies.get(contents) ?? new Map<TemplateEncoding, Buffer>()
    this.#copies.set(contents, known)
    const copy = known.get(encoding) ?? ENCODERS[encoding](contents)
    known.set(encoding, copy)
    return copy
  }

  zero(): void {
    for (const known of this.#copies.values()) for (const copy of known.values()) copy.fill(0)
  }
}

const ENCODERS: Readonly<Record<Exclude<TemplateEncoding, 'text'>, (bytes: Buffer) => Buffer>> = {
  base64: encodeBase64,
  hex: encodeHex,
  json: encodeJsonText,
}
