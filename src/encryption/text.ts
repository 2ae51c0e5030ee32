import type { Fault } from '../yaml/fault.ts'
import { readAsGo, type GoSource } from '../yaml/go/read.ts'

/**
 * Parses the text of an EncryptionConfiguration as kube-apiserver does: with a strict codec for JSON and YAML (apiserver:
 * pkg/server/options/encryptionconfig/config.go, loadConfig).
 */
export function readEncryptionText(text: string): GoSource | readonly Fault[] {
  return readAsGo(text, { json: true, strict: true })
}
