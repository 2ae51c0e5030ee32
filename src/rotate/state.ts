import * as v from 'valibot'

/** The steps of a rotation, in their order. */
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

/** How far a rotation is: all that a later run needs to go on. */
export const RotationState = v.object({
  version: v.literal(1),
  procedure: v.literal('rotate'),
  /** The uid of the cluster. */
  cluster: v.string(),
  /** Mount and name of the Transit key. */
  key: v.string(),
  startedAt: v.string(),
  /** The step that is to be done next. */
  step: v.picklist(ROTATION_STEPS),
  /** The latest version before the rotation: whether the key was rotated shows by this. */
  from: Version,
  /** The version that everything is to be under; undefined until it was made. */
  to: v.optional(Version),
})
export type RotationState = v.InferOutput<typeof RotationState>
