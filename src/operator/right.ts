/** A right that a token needs: all these capabilities on the path. */
export interface Right {
  readonly path: string
  readonly capabilities: readonly Capability[]
}
export type Capability = 'create' | 'read' | 'update' | 'delete' | 'list' | 'sudo'

/** The value of a setting, as JSON. */
export type Value = string | number | boolean | readonly string[]
export type Values = Readonly<Record<string, Value>>
