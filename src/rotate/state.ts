import * as v from 'valibot'

/** The steps of a rotation in order. */
export const ROTATION_STEPS = [
  'check',
  'rotate',
  'wait',
  'rewrite',
  'verify',
  'needed',
  'raise',
] as const
export type RotationStep = (typeof ROTATION_STEPS)[number]

const Version = v.pipe(v.number(), v.integer(), v.minValue(1))

/** The progress of a rotation: all that a later run needs to resume it. */
export const RotationState = v.object({
  version: v.literal(1),
  procedure: v.literal('rotate'),
  /** The uid of the cluster. */
  cluster: v.string(),
  /** Mount and name of the Transit key. */
  key: v.string(),
  startedAt: v.string(),
  /** The next step. */
  step: v.picklist(ROTATION_STEPS),
  /** The latest version before the rotation, which shows whether the key has been rotated. */
  from: Version,
  /** The new version; undefined until it exists. */
  to: v.optional(Version),
})
export type RotationState = v.InferOutput<typeof RotationState>
