const MAX_TEXT_BYTES = 256 * 1024
/**
 * Structural characters of YAML, each of which takes time to parse, and backslashes, each of which can be an error with a
 * stack. Ciphertexts contain few.
 */
const STRUCTURE = /[[\]{},:?&*!|>"'\n\r\\]|-(?=\s|$)/g

/**
 * Returns why a text of a pod author is too costly to parse as YAML, or undefined. Parsing it must not delay the Mounts
 * of other pods (docs/design.md, "Configuration").
 */
export function findShapeFault(text: string, maxStructure: number): string | undefined {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES)
    return `is longer than ${String(MAX_TEXT_BYTES / 1024)} KiB`
  if ((text.match(STRUCTURE)?.length ?? 0) <= maxStructure) return undefined
  return `has more than ${String(maxStructure)} structural characters (such as - : , " \\ and line ends)`
}
