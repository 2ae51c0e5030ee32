import { BridgeError } from '../errors.ts'

/** The path of a value: keys, and indexes of lists. */
export type Path = readonly (string | number)[]

/** One thing that is wrong with a configuration. Its texts contain no value that could be secret. */
export interface Fault {
  /** As a person writes it, `csi.rules[0].types`; empty if it is about the whole file. */
  readonly path: string
  /** What is wrong, as a sentence whose subject is the path: "is missing". */
  readonly message: string
  /** How to fix it. */
  readonly hint?: string | undefined
  /** From 1; undefined if the file could not be read. */
  readonly line?: number | undefined
  /** From 1; set for YAML syntax errors. */
  readonly column?: number | undefined
}

/** Thrown for a configuration that cannot be used, with all faults at once. */
export class ConfigError extends BridgeError {
  readonly file: string
  readonly faults: readonly Fault[]

  constructor(file: string, faults: readonly Fault[], options: { readonly cause?: unknown } = {}) {
    super('CONFIG_INVALID', faults.map((fault) => formatFault(file, fault)).join('\n'), options)
    this.file = file
    this.faults = faults
  }
}

/** One line in the form that editors and compilers share: `FILE:LINE: PATH: MESSAGE; HINT`. */
export function formatFault(file: string, fault: Fault): string {
  const place = [file, fault.line, fault.column].filter((part) => part !== undefined).join(':')
  const subject = fault.path === '' ? '' : `${fault.path}: `
  const hint = fault.hint === undefined ? '' : `; ${fault.hint}`
  return `${place}: ${subject}${fault.message}${hint}`
}

/** `['csi', 'rules', 0]` as `csi.rules[0]`; a key that is not a plain word is quoted. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    if (!/^[\w-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

/** Splits "what is wrong; how to fix it", the form of the schema's messages. */
export function splitMessage(text: string): Pick<Fault, 'message' | 'hint'> {
  const cut = text.indexOf('; ')
  return cut < 0 ? { message: text } : { message: text.slice(0, cut), hint: text.slice(cut + 2) }
}
