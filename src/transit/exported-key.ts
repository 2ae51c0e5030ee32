import * as v from 'valibot'
import { BridgeError } from '../errors.ts'
import { Secret } from '../secret.ts'

const ExportAnswer = v.object({
  data: v.object({
    keys: v.record(v.pipe(v.string(), v.digits()), v.union([v.string(), v.instance(Buffer)])),
  }),
})

/** Reads the answer to GET export/<kind>/<name>. A parse error would quote key material, so it is not kept as the cause. */
export function parseExportedKey(body: unknown): ReadonlyMap<number, Secret<Buffer>> {
  const parsed = v.safeParse(ExportAnswer, body, { abortEarly: true })
  if (!parsed.success) {
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      'the response to an export of the transit key is not a response of Vault',
    )
  }
  const { keys } = parsed.output.data
  return new Map(
    Object.entries(keys).map(([version, material]) => [
      Number(version),
      // Usually the client has taken it out of the text (vault/client/secret-fields.ts).
      new Secret(typeof material === 'string' ? Buffer.from(material) : material),
    ]),
  )
}
